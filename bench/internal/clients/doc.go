// Package clients loads the trial service with clients of several kinds, and
// judges what they are answered: what was lost, double, wrong, or late.
package clients
