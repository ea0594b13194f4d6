package proxy

import (
	"time"

	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// Kind says what a slot's beats mean.
type Kind uint8

const (
	// Prime is a prime_server worker: one connection is one slot, and a beat
	// names no job. It sends one about every second while idle, one per job
	// done and one per interrupt heard, so that a beat may have crossed a job
	// on its way.
	Prime Kind = iota
	// Butterfly is a slot whose beats name the last job that it did.
	Butterfly
)

// String returns "prime" or "butterfly".
func (k Kind) String() string {
	if k == Prime {
		return "prime"
	}
	return "butterfly"
}

// holding is a job that a slot has. The key is copied because inside one
// process the job belongs to its worker, who may change it.
type holding struct {
	job   *loopback.Job
	key   wire.Key
	crowd *crowd
	since time.Time // zero: nobody looked at the clock
	begun bool      // it is being answered in parts: the timeout does not hold
	left  bool      // so, and it was interrupted: it holds again
}

// Slot is a Balancer's handle of one place for a job. Only its Balancer's
// methods change it; Owner is the caller's, and never read here.
//
// A slot is new (nothing heard yet), idle, or holds a job. A Prime slot may
// besides 'maybe hold' the job before. A slot that does not come back from its
// job within the stage's timeout is stuck: the job is taken from it.
//
//	        beat              assigned
//	new ──────────▶ idle ──────────────▶ holds J ────────────▶ stuck
//	                 ▲ ▲                    │      timeout       │
//	                 │ └────────────────────┘ beat: Prime any (J is then maybe held,
//	                 └───────────────────────── until the next beat); Butterfly done = J
//
// # Why a beat is believed or not
//
// Prime: a beat frees the slot always, as in prime_server; waiting for a second
// one would cost up to a second per job. If it had crossed the job, the worker
// has the job still and gets one more, which waits in its socket; the beat that
// ends the first job then frees the second, and so on: the count is off by one
// until the worker has caught up. So the job before the last beat may be lost
// with the connection, and 'maybe held' says so. Two beats that cross one job
// free it too early; what a deadline is for.
//
// Butterfly: a beat that names another job than the one held was sent before
// that one arrived and is dropped. A beat that names it frees the slot for
// certain. Keys repeat: in a cycle the slot may have done K, said so, and be
// given K again. Beats of one connection keep their order, so only a beat that
// repeats an earlier one can be mistaken: a worker that beats once when it
// connects and once per job is never misread. One that repeats itself while
// idle (to withdraw, say) just as K comes back to the same slot is: then the
// slot counts as free too early and may be given one more job, which the worker
// keeps until the slot is free; the true beat(K) is stale by then and is
// dropped, and the beat of the job after it puts all right. Nothing is lost
// unless the connection is, within that one job. Taking every such beat as
// 'maybe' instead would be worse: a worker that leaves in good order would then
// have its last job called lost, and the client told so, although it went on to
// the next stage.
type Slot struct {
	Owner any

	kind  Kind
	idle  bool
	heard bool // has been idle once
	gone  bool
	stuck bool // the job of held.key was taken back, and the slot has not beaten since
	beat  []byte
	held  holding
	maybe *loopback.Job // Prime only

	prev, next *Slot // the idle list, that of busy slots, or of streaming ones
}

// has reports whether the slot has a job that it has not said to be done with.
func (s *Slot) has() bool { return s.held.job != nil || s.stuck }

// Kind returns what Join was told.
func (s *Slot) Kind() Kind { return s.kind }

// slotList holds slots in order: the idle, the longest idle first, or the busy.
type slotList struct {
	first, last *Slot
	length      int
}

func (l *slotList) push(s *Slot) {
	s.prev, s.next = l.last, nil
	if l.last == nil {
		l.first = s
	} else {
		l.last.next = s
	}
	l.last = s
	l.length++
}

func (l *slotList) pushFront(s *Slot) {
	s.prev, s.next = nil, l.first
	if l.first == nil {
		l.last = s
	} else {
		l.first.prev = s
	}
	l.first = s
	l.length++
}

func (l *slotList) remove(s *Slot) {
	if s.prev == nil {
		l.first = s.next
	} else {
		s.prev.next = s.next
	}
	if s.next == nil {
		l.last = s.prev
	} else {
		s.next.prev = s.prev
	}
	s.prev, s.next = nil, nil
	l.length--
}
