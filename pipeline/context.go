package pipeline

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// jobContext is the context.Context of one job. context.WithDeadline costs
// four allocations and a timer for every job; here a channel and a timer are
// made only where a handler asks for Done, and Err reads the clock.
type jobContext struct {
	values   context.Context // of the pool; its end does not end the job
	deadline time.Time       // zero: none

	ended  atomic.Bool // err is set
	lifted atomic.Bool // the deadline does not hold any more

	mu    sync.Mutex // guards the fields below
	err   error
	done  chan struct{}
	timer *time.Timer
	after map[*afterFunc]struct{}
}

type afterFunc struct{ f func() }

// Deadline implements context.Context.
func (c *jobContext) Deadline() (time.Time, bool) {
	if c.unbound() {
		return time.Time{}, false
	}
	return c.deadline, true
}

// unbound reports whether no deadline ends the context.
func (c *jobContext) unbound() bool { return c.deadline.IsZero() || c.lifted.Load() }

// lift takes the deadline away, unless it has ended the context already.
func (c *jobContext) lift() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lifted.Store(true)
	if c.timer != nil {
		c.timer.Stop()
	}
}

// Value implements context.Context.
func (c *jobContext) Value(key any) any { return c.values.Value(key) }

// Err implements context.Context.
func (c *jobContext) Err() error {
	if !c.ended.Load() {
		if c.unbound() || time.Now().Before(c.deadline) {
			return nil
		}
		c.end(context.DeadlineExceeded)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// limit makes the deadline no later than at. It is called before the handler is.
func (c *jobContext) limit(at time.Time) {
	if c.deadline.IsZero() || at.Before(c.deadline) {
		c.deadline = at
	}
}

// Done implements context.Context.
func (c *jobContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.err != nil {
			close(c.done)
		} else {
			c.arm()
		}
	}
	return c.done
}

// arm starts the timer that ends the context at its deadline.
func (c *jobContext) arm() {
	if c.timer == nil && !c.unbound() {
		c.timer = time.AfterFunc(time.Until(c.deadline), c.expire)
	}
}

// expire ends the context at its deadline, if that still holds.
func (c *jobContext) expire() {
	if !c.unbound() {
		c.end(context.DeadlineExceeded)
	}
}

// AfterFunc lets package context follow this context without a goroutine.
func (c *jobContext) AfterFunc(f func()) (stop func() bool) {
	a := &afterFunc{f}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	if c.after == nil {
		c.after = make(map[*afterFunc]struct{})
	}
	c.after[a] = struct{}{}
	c.arm()
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, waiting := c.after[a]
		delete(c.after, a)
		return waiting
	}
}

// end ends the context with err, once.
func (c *jobContext) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	c.ended.Store(true)
	if c.done != nil {
		close(c.done)
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	for a := range c.after {
		go a.f()
	}
	c.after = nil
}
