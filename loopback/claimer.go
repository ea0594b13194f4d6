package loopback

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// Claimer tells fronts, when they ask, which of their jobs a process holds. Jobs
// that nobody claims count as lost, those that are claimed and that nobody waits
// for are interrupted. It is safe for concurrent use.
type Claimer struct {
	to   *Sender
	held func(front uint64, add func(wire.Key))
	here *Attendance // nil: nobody notices that fronts have gone
	busy atomic.Bool // a window may be open: spares the lock where jobs arrive

	mu    sync.Mutex // guards calls
	calls heardCalls
}

// NewClaimer returns a Claimer that answers by to, and has it answer again when
// a connection of to comes up. held calls add with the keys of all jobs that the
// process holds for a front of an instance, but for answers that wait in to; keys
// of other fronts are left out, and one that comes twice counts once. It may
// block for moments only. Call it before to runs.
func NewClaimer(to *Sender, held func(front uint64, add func(wire.Key))) *Claimer {
	c := &Claimer{to: to, held: held}
	to.claims = c
	return c
}

// Attend has a notice fronts that have gone. Call it before anything runs.
func (c *Claimer) Attend(a *Attendance) { c.here = a }

// RollCall answers a front's roll call.
func (c *Claimer) RollCall(r wire.RollCall) {
	now := time.Now()
	c.mu.Lock()
	wanted := c.calls.hear(r, now)
	if wanted && r.Window > 0 {
		c.busy.Store(true)
	}
	c.mu.Unlock()
	if wanted {
		c.claimAll(r.Front)
	}
}

// Arrived says that a job has come, which its front may want to know now. It
// costs next to nothing while no front does; nil is a Claimer that never does.
func (c *Claimer) Arrived(key wire.Key) {
	if c == nil || !c.busy.Load() {
		return
	}
	c.mu.Lock()
	number, wanted := c.calls.wants(key.Instance, time.Now())
	if !wanted && !c.calls.busy(time.Now()) {
		c.busy.Store(false)
	}
	c.mu.Unlock()
	if wanted {
		c.to.claim(key.Instance, number, []wire.Key{key})
	}
}

// Lost tells all fronts that a connection by which jobs were sent on was lost, or
// somebody who was about to send some: they may have got lost. nil tells nobody.
func (c *Claimer) Lost() {
	if c == nil {
		return
	}
	for _, l := range c.to.fronts {
		l.loss.Store(true)
		if l.up.Load() {
			l.tellLoss()
		}
	}
}

// tellLoss tells a front that is there of a loss, if there was one that it has not
// heard of.
func (l *frontLink) tellLoss() {
	if front := l.instance.Load(); front != 0 && l.loss.Swap(false) {
		_ = l.dialer.Send(transport.Message{wire.AppendLoss(nil, front)}, nil)
	}
}

// connected claims anew over a connection that has come up: what was claimed
// before may have got lost with the last one.
func (c *Claimer) connected(front uint64) {
	c.mu.Lock()
	wanted := c.calls.again(front, time.Now())
	c.mu.Unlock()
	if wanted {
		c.claimAll(front)
	}
}

// claimAll claims all that is held for a front. It holds no lock while it looks:
// a job that arrives meanwhile is claimed twice.
func (c *Claimer) claimAll(front uint64) {
	c.mu.Lock()
	number := c.calls.number(front)
	c.mu.Unlock()
	all := make(map[wire.Key]struct{})
	add := func(key wire.Key) {
		if key.Instance == front {
			all[key] = struct{}{}
		}
	}
	c.held(front, add)
	c.to.heldFor(front, add)
	keys := make([]wire.Key, 0, min(len(all), wire.MaxClaimed))
	for key := range all {
		if keys = append(keys, key); len(keys) == wire.MaxClaimed {
			c.to.claim(front, number, keys)
			keys = keys[:0]
		}
	}
	if len(keys) > 0 {
		c.to.claim(front, number, keys)
	}
}

// heardCalls is what a holder knows of the roll calls of fronts, by their
// instances. It has no clock and no lock.
type heardCalls struct{ of map[uint64]*heardCall }

type heardCall struct {
	number uint32
	until  time.Time // jobs that arrive before are to be claimed
	often  *rate.Limiter
}

// Bounds of what fronts can make a holder do: how many of them are remembered,
// and how often in a second one is answered.
const (
	maxCallers   = 64
	maxAnswering = 20
)

// hear takes a roll call, and reports whether it is to be answered.
func (h *heardCalls) hear(r wire.RollCall, now time.Time) bool {
	c := h.of[r.Front]
	if c == nil {
		if !h.makeRoom(now) {
			return false
		}
		c = &heardCall{often: rate.NewLimiter(maxAnswering, maxAnswering)}
		h.of[r.Front] = c
	}
	if r.Number != 0 {
		c.number = r.Number
	}
	if until := now.Add(r.Window); until.After(c.until) {
		c.until = until
	}
	return c.often.AllowN(now, 1)
}

// makeRoom makes room for one more front, and reports whether there is any.
func (h *heardCalls) makeRoom(now time.Time) bool {
	if h.of == nil {
		h.of = make(map[uint64]*heardCall)
	}
	for front, c := range h.of {
		if len(h.of) < maxCallers {
			break
		}
		if c.until.Before(now) {
			delete(h.of, front)
		}
	}
	return len(h.of) < maxCallers
}

// wants returns the number by which jobs of a front that arrive now are to be
// claimed, if they are.
func (h *heardCalls) wants(front uint64, now time.Time) (number uint32, wanted bool) {
	c := h.of[front]
	if c == nil || !now.Before(c.until) {
		return 0, false
	}
	return c.number, true
}

// number returns that of the latest roll call of a front, or 0.
func (h *heardCalls) number(front uint64) uint32 {
	if c := h.of[front]; c != nil {
		return c.number
	}
	return 0
}

// again reports whether a front that has connected again is to be answered again.
func (h *heardCalls) again(front uint64, now time.Time) bool {
	c := h.of[front]
	return c != nil && c.often.AllowN(now, 1)
}

// busy reports whether any front wants to know of jobs that arrive.
func (h *heardCalls) busy(now time.Time) bool {
	for _, c := range h.of {
		if now.Before(c.until) {
			return true
		}
	}
	return false
}
