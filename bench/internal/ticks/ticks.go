// Package ticks tells how much of the processors' time was taken by others than
// the processes that are measured.
package ticks

// Unknown stands for a share that could not be found out.
const Unknown = -1

// Ticks is processor time since the machine was started, in the kernel's unit:
// of all processors, what of it was spent or taken by the host, and what of that
// the processes of this measurement spent.
type Ticks struct{ all, busy, ours uint64 }

// Others returns the share of the processors that other programs took, or Unknown.
func Others(before, after Ticks) float64 {
	if before.all == 0 || after.all <= before.all {
		return Unknown
	}
	busy, ours := after.busy-before.busy, after.ours-before.ours
	return max(0, float64(busy)-float64(ours)) / float64(after.all-before.all)
}
