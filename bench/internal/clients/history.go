package clients

import (
	"context"
	"slices"
	"sync"
	"time"
)

// History is what was done to a front, by when. It may be used concurrently.
type History struct {
	mu      sync.Mutex // guards the fields below
	killed  []span     // from the order to the end
	leaving []span     // the same, of being asked to end
	paused  []span
	stalled []span // nobody on this machine got on
}

// span has a zero end while it goes on.
type span struct{ from, to time.Time }

func (s span) ended() bool { return !s.to.IsZero() }

// Killed notes that the front is about to be killed.
func (h *History) Killed(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.killed = append(h.killed, span{from: now})
	end(h.paused, now)
}

// Leaving notes that the front is about to be asked to end.
func (h *History) Leaving(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leaving = append(h.leaving, span{from: now})
}

// Ended notes that the front has ended, as it was asked to or not.
func (h *History) Ended(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	end(h.killed, now)
	end(h.leaving, now)
}

// Paused notes that the front is about to be stopped for a while.
func (h *History) Paused(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.paused = append(h.paused, span{from: now})
}

// Resumed notes that the front goes on.
func (h *History) Resumed(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	end(h.paused, now)
}

// end ends the last span, if it has not ended.
func end(spans []span, now time.Time) {
	if n := len(spans); n > 0 && !spans[n-1].ended() {
		spans[n-1].to = now
	}
}

// WasKilled reports whether the front was being killed at any moment in between.
func (h *History) WasKilled(from, to time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return touches(h.killed, from, to)
}

// WasLeaving reports whether the front was on its way to its end at any moment
// in between.
func (h *History) WasLeaving(from, to time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return touches(h.leaving, from, to)
}

func touches(spans []span, from, to time.Time) bool {
	return slices.ContainsFunc(spans, func(s span) bool {
		return !s.from.After(to) && (!s.ended() || !s.to.Before(from))
	})
}

// Standstill returns for how long the front was stopped, or the machine stood
// still, in between.
func (h *History) Standstill(from, to time.Time) (sum time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.paused {
		sum += s.within(from, to)
	}
	for _, s := range h.stalled {
		sum += s.within(from, to)
	}
	return sum
}

// within returns how much of the span is in between.
func (s span) within(from, to time.Time) time.Duration {
	if s.ended() && s.to.Before(to) {
		to = s.to
	}
	if s.from.After(from) {
		from = s.from
	}
	return max(0, to.Sub(from))
}

// Stalled notes that this machine gave nobody time to get on.
func (h *History) Stalled(from, to time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stalled = append(h.stalled, span{from, to})
}

const (
	stallTick  = 20 * time.Millisecond
	stallLeast = 200 * time.Millisecond // shorter ones are what a slack is for
)

// WatchMachine notes for all fronts when this process, and so most likely any,
// gets no time to run, until ctx ends. It returns for how long that was in all.
func WatchMachine(ctx context.Context, fronts []*Front) (sum time.Duration) {
	ticker := time.NewTicker(stallTick)
	defer ticker.Stop()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return sum
		case <-ticker.C:
		}
		now := time.Now()
		if gap := now.Sub(last); gap >= stallLeast {
			sum += gap
			for _, f := range fronts {
				f.History.Stalled(last, now)
			}
		}
		last = now
	}
}
