// Package parts starts the processes of a deployment, stops them in every way
// that there is, and looks into them; and it stands between them as a network
// that can be cut. It needs Linux.
package parts
