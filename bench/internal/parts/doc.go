// Package parts starts the processes of a deployment, stops them in every way
// that there is, and looks into them. It needs Linux.
package parts
