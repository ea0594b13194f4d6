package loopback

import (
	"context"
	"fmt"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// watch adds p to the deadlines, and wakes Run if it sleeps for too long.
func (t *Table) watch(p *Pending) {
	t.deadlines.push(p)
	t.wakeBy(p.deadline)
}

// wakeBy wakes Run if it sleeps for longer. The caller holds the lock.
func (t *Table) wakeBy(at time.Time) {
	if t.armed.IsZero() || at.Before(t.armed) {
		t.armed = at
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

// Run ends requests whose deadline passes, and settles those that got lost, until
// ctx ends. Then it ends every open request with ErrClosed and refuses new ones.
// It returns nil.
func (t *Table) Run(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if at, any := t.Tick(time.Now()); any {
			timer.Reset(time.Until(at))
		}
		select {
		case <-ctx.Done():
			t.close()
			return nil
		case <-t.wake:
		case <-timer.C:
		}
	}
}

// Tick does what is due at now, and returns when there is more to do, if there is
// anything yet. Run calls it; so may somebody who has no clock, instead of Run.
// With the first call the front's youth begins.
func (t *Table) Tick(now time.Time) (next time.Time, any bool) {
	t.begin(now)
	t.recover(now)
	for t.expire(now) {
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	next, any = t.recovery.next()
	if p := t.deadlines.first(); p != nil && (!any || p.deadline.Before(next)) {
		next, any = p.deadline, true
	}
	t.armed = next
	return next, any
}

// expire ends the request whose deadline is the first to pass until now, and
// reports whether there was one.
func (t *Table) expire(now time.Time) bool {
	t.mu.Lock()
	p := t.deadlines.first()
	if p == nil || p.deadline.After(now) {
		t.mu.Unlock()
		return false
	}
	key, others := p.key(), p.others()
	t.stats.Expired++
	t.end(p, ErrDeadline)
	t.mu.Unlock()
	t.interrupt(key)
	t.interrupt(others...)
	return true
}

func (t *Table) close() {
	t.mu.Lock()
	t.closed = true
	keys := make([]wire.Key, 0, len(t.open))
	for _, p := range t.open {
		keys = append(append(keys, p.key()), p.others()...)
		t.stats.Failed++
		t.end(p, ErrClosed)
	}
	t.mu.Unlock()
	t.interrupt(keys...)
}

// Drain refuses new requests from now on and waits until none is open or ctx
// ends. It may be called more than once.
func (t *Table) Drain(ctx context.Context) error {
	t.mu.Lock()
	if !t.draining {
		t.draining = true
		if len(t.open) == 0 {
			close(t.empty)
		}
	}
	t.mu.Unlock()
	select {
	case <-t.empty:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("loopback: draining with %d requests open: %w", t.Len(), context.Cause(ctx))
	}
}
