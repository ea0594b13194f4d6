//go:build linux

package main

// What docs/operations.md says that a process holds at most.
const (
	base    = 48 << 20 // the program itself
	perConn = 64 << 10
	perJob  = 4 << 10
	// perByte is for the collector, which lets the heap grow to twice of what is
	// alive and is not done at once, GOGC being 100.
	perByte = 3
)

// bound returns how many bytes the process of a role may hold resident.
func (s service) bound(o *options, role string) float64 {
	pending := float64(s.maxPendingBytes(o))
	switch role {
	case everything, "front":
		// Twice for each kind: requests that wait, bodies that are being received,
		// answers that clients are slow to read.
		return base + perConn*maxConns + 2*3*pending
	case "workers:work", "workers:parse", "workers:slice":
		return base + perByte*float64(s.slots(o)*(bodyBytes+4<<10))
	}
	return base + perJob*float64(o.pending) + perByte*pending
}
