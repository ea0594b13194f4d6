package httpload

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// naps is the longest sleep in one piece, so that the end of a context is seen.
const naps = 50 * time.Millisecond

// sleepUntil returns at t or soon after ctx ended. It blocks a thread in the
// kernel, because the runtime's own timers are up to a millisecond late when
// nothing else runs: as much as the latencies to be measured.
func sleepUntil(ctx context.Context, t time.Time) {
	for ctx.Err() == nil {
		left := time.Until(t)
		if left <= 0 {
			return
		}
		nap := unix.NsecToTimespec(int64(min(left, naps)))
		_ = unix.Nanosleep(&nap, nil) // a signal ends it early: the loop goes on
	}
}
