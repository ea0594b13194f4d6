// Package rig runs the trial service as processes: two fronts, the proxies, and
// several worker processes of each stage, over ipc or over a TCP network that
// can be cut. It needs Linux.
package rig
