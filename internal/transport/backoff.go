package transport

import (
	"math/rand/v2"
	"time"
)

// backoff makes growing, jittered pauses. It belongs to one goroutine.
type backoff struct {
	Backoff
	last time.Duration // before jitter; 0: none yet
}

// next returns the next pause: between half of and all of a span that doubles
// from Min to Max.
func (b *backoff) next() time.Duration {
	b.last = min(max(b.Min, 2*b.last), b.Max)
	half := b.last / 2
	return b.last - rand.N(half+1)
}

func (b *backoff) reset() { b.last = 0 }

// sleep waits for d, or until done is closed: then it returns false.
func sleep(done <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-done:
		return false
	}
}
