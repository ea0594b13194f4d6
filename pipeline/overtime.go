package pipeline

import (
	"bytes"
	"context"
	"runtime"
	"strings"
	"time"

	"github.com/butterfly-zmq/butterfly/loopback"
)

// hangGrace is how long a handler may go on after the stage's timeout has ended
// its context, before it counts as hung.
const hangGrace = 100 * time.Millisecond

// What becomes of a job that takes longer than the stage's timeout:
//
//	   timeout                    hangGrace
//	running ───▶ late ──────────────────────────▶ hung
//	              │ the client is answered 504,     │ its stack is logged; if the bound
//	              │ or the proxy takes the job      │ allows it another goroutine takes
//	              │ back; what the handler returns  │ the slot over, and this one ends
//	              │ is dropped                      │ when the handler does
//
// A job that is answered in parts is only timed until the first, and again from when
// it is interrupted.
//
// The slot's timer brings both about, from a goroutine of its own.

// turn is the right to be a slot's goroutine. Only the slot's latest is; one whose
// handler hangs loses it.
type turn struct {
	goroutine []byte // how the goroutine's stack begins; nil: it is not asked for
}

// newTurn returns the turn of the goroutine that calls it.
func (s *slot) newTurn() *turn {
	t := &turn{}
	if s.pool.cfg.Timeout > 0 {
		head := make([]byte, 64)
		head = head[:runtime.Stack(head, false)]
		number, _, _ := bytes.Cut(head, []byte("["))
		t.goroutine = number
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn = t
	return t
}

// has reports whether t is still the slot's.
func (s *slot) has(t *turn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.turn == t
}

// watch starts the clock of the current job. The caller holds the lock.
func (s *slot) watch() {
	if s.pool.cfg.Timeout <= 0 {
		return
	}
	if s.timer == nil {
		s.timer = time.AfterFunc(s.pool.cfg.Timeout, s.overtime)
	} else {
		s.timer.Reset(s.pool.cfg.Timeout)
	}
}

// begun ends the stage's timeout for a job whose answer begins to leave in parts:
// it was for the first. From an interrupt on it holds again, for a handler that does
// not mind that.
func (s *slot) begun(c *call) {
	if s.pool.cfg.Timeout <= 0 {
		return
	}
	s.mu.Lock()
	ours := s.current == c && !c.late && !s.interrupted
	if ours {
		c.parts = true
		s.timer.Stop()
	}
	s.mu.Unlock()
	if place, ok := s.place.(loopback.Reclaimer); ok && ours {
		place.Begun()
	}
}

// timeAgain begins the time of a stream that was interrupted. The caller holds the
// lock.
func (s *slot) timeAgain(c *call) {
	if c.parts {
		c.parts, s.began = false, time.Now()
		s.timer.Reset(s.pool.cfg.Timeout)
	}
}

// overtime is called when the current job may have taken too long: by the timer,
// which may be late and mean a job before it.
func (s *slot) overtime() {
	s.mu.Lock()
	c := s.current
	if c == nil || c.parts {
		s.mu.Unlock()
		return
	}
	switch ran := time.Since(s.began); {
	case ran < s.pool.cfg.Timeout:
		s.mu.Unlock()
	case !c.late:
		c.late = true
		wanted := !s.interrupted
		s.timer.Reset(s.pool.cfg.Timeout + hangGrace - ran)
		s.mu.Unlock()
		if s.pool.overran.Add(1); wanted {
			s.overrun(c)
		}
	case ran < s.pool.cfg.Timeout+hangGrace:
		s.mu.Unlock()
	default:
		s.hang(c, ran) // unlocks
	}
}

// overrun ends a job whose time is over: its handler's context, and what waits
// for it. A proxy that knows the job deals with it, and is told by the next beat.
func (s *slot) overrun(c *call) {
	c.ctx.end(context.DeadlineExceeded)
	s.failed.Add(1)
	if place, ok := s.place.(loopback.Reclaimer); ok && place.GiveUp() {
		return
	}
	info := *c.job.info
	reason := "the stage took too long (request " + info.RequestID() + ")"
	if s.failPart(&info, c, 504, reason) {
		return
	}
	a := answerTo(info, c.job.payload, errorResponse(504, reason))
	c.note(a, a.Info)
	s.send(c, a)
}

// hang notes, once, that the current job's handler does not end, and gives its
// slot to another goroutine if the bound allows it; else it tries again a second
// later. The caller holds the lock, which it releases.
func (s *slot) hang(c *call, ran time.Duration) {
	first, lost := !c.hung, *s.turn
	c.hung = true
	replaced := s.pool.mayReplace()
	if replaced {
		s.current, s.turn = nil, nil
		s.start()
	} else {
		s.timer.Reset(time.Second)
	}
	s.mu.Unlock()
	if first {
		s.pool.log.Error("handler hangs", "request_id", c.job.RequestID(), "timeout", s.pool.cfg.Timeout,
			"running", ran, "replaced", replaced, "stack", stackOf(lost.goroutine))
	}
}

// mayReplace counts one more goroutine that is left to a handler that hangs,
// unless there are as many as may be.
func (p *Pool) mayReplace() bool {
	for {
		n := p.hung.Load()
		if n >= int64(p.cfg.MaxHung) {
			return false
		}
		if p.hung.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// maxStacks bounds the memory in which all goroutines' stacks are written down, of
// which one is wanted: there is no call for a single other one.
const maxStacks = 16 << 20

// stackOf returns the stack of the goroutine whose stack begins so. It stops the
// world for that.
func stackOf(goroutine []byte) string {
	for size := 64 << 10; ; size *= 4 {
		all := make([]byte, size)
		all = all[:runtime.Stack(all, true)]
		if len(all) == size && size < maxStacks {
			continue
		}
		for stack := range strings.SplitSeq(string(all), "\n\n") {
			if strings.HasPrefix(stack, string(goroutine)) {
				return stack
			}
		}
		return "not found" // it ended just now, or there are too many
	}
}
