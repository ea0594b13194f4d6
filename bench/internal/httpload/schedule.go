package httpload

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// Times in a run are counted from its start, all on one monotonic clock.

// schedule says when a connection that is free sends its next request.
type schedule interface {
	// next blocks until a request is due. It returns the time at which it
	// was due, at most about now, and false when there are no more.
	next(ctx context.Context, now time.Duration) (due time.Duration, more bool)
}

// closedLoop lets every connection send at once, until the end or until the
// requests behind the warm-up are spent.
type closedLoop struct {
	warmup, end time.Duration
	left        *atomic.Int64 // nil: only the end counts
}

func newClosedLoop(c *Config) *closedLoop {
	s := &closedLoop{warmup: c.Warmup, end: endOf(c)}
	if c.Requests > 0 {
		s.left = new(atomic.Int64)
		s.left.Store(c.Requests)
	}
	return s
}

func (s *closedLoop) next(ctx context.Context, now time.Duration) (time.Duration, bool) {
	if now >= s.end || ctx.Err() != nil {
		return now, false
	}
	if s.left != nil && now >= s.warmup {
		return now, s.left.Add(-1) >= 0
	}
	return now, true
}

// openLoop makes requests due at a given rate and hands each to whichever
// connection is free.
type openLoop struct {
	arrival     func() time.Duration // when the next request is due
	warmup, end time.Duration
	left        int64 // requests to measure; negative: only the end counts
	arrivals    chan time.Duration
	waited      int64 // behind the warm-up: no connection was free; pace's until it returns
}

func newOpenLoop(c *Config) *openLoop {
	left := c.Requests
	if left == 0 {
		left = -1
	}
	return &openLoop{
		arrival: arrivalsOf(c), warmup: c.Warmup, end: endOf(c), left: left,
		// What is due while all connections wait. Beyond it the pacer blocks,
		// which delays no due time: they come from the schedule.
		arrivals: make(chan time.Duration, 1024),
	}
}

// arrivalsOf returns what yields one due time after the other, endlessly.
func arrivalsOf(c *Config) func() time.Duration {
	if c.Random {
		source := rand.New(rand.NewPCG(c.Seed, 0))
		at := 0.0
		return func() time.Duration {
			at += source.ExpFloat64() / c.Rate
			return time.Duration(at * float64(time.Second))
		}
	}
	i := -1.0
	return func() time.Duration {
		i++
		return time.Duration(i / c.Rate * float64(time.Second))
	}
}

// pace emits every due time, in order, and returns after the last one. It runs
// on a goroutine of its own.
func (s *openLoop) pace(ctx context.Context, start time.Time) {
	defer close(s.arrivals)
	for {
		due := s.arrival()
		if due >= s.end || due >= s.warmup && s.spent() {
			return
		}
		sleepUntil(ctx, start.Add(due))
		select {
		case s.arrivals <- due:
			// A connection that waits takes it out of pace's hand: what lies in
			// the channel found none.
			if len(s.arrivals) > 0 && due >= s.warmup {
				s.waited++
			}
		case <-ctx.Done():
			return
		}
	}
}

// spent takes one of the requests to measure; it reports true when none is left.
func (s *openLoop) spent() bool {
	s.left--
	return s.left == -1
}

func (s *openLoop) next(ctx context.Context, _ time.Duration) (time.Duration, bool) {
	select {
	case due, more := <-s.arrivals:
		return due, more
	case <-ctx.Done():
		return 0, false
	}
}

// endOf returns when the run stops sending; far away if requests bound it.
func endOf(c *Config) time.Duration {
	if c.Requests > 0 {
		return time.Duration(1<<63 - 1)
	}
	return c.Warmup + c.Duration
}
