package proxy

import (
	"time"

	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// Repeat says which of a stage's jobs may run again when they may have run.
type Repeat uint8

// What a stage may say.
const (
	RepeatSafe   Repeat = iota // those whose front marked them wire.Repeatable
	RepeatAlways               // all of them
	RepeatNever                // none
)

// allows reports whether a job may run again.
func (r Repeat) allows(info *wire.Info) bool {
	switch r {
	case RepeatAlways:
		return true
	case RepeatSafe:
		return info.Extended && info.Flags.Has(wire.Repeatable)
	}
	return false
}

// DefaultAttempts is how often a job is given to workers during one visit of a
// stage, unless its configuration says otherwise.
const DefaultAttempts = 3

// MaxAttempts is the most that the envelope can count.
const MaxAttempts = 255

// Retry decides what becomes of a job that a slot got and that has no outcome,
// though it may have run: it reports whether another slot is to get it, and
// counts the attempt. Then the caller queues it with Requeue; else the job is
// the caller's to refuse.
func (b *Balancer) Retry(job *loopback.Job) bool {
	if !b.cfg.Repeat.allows(&job.Info) || int(job.Info.Attempt)+1 >= b.cfg.Attempts {
		return false
	}
	job.Info.Attempt++
	b.count.repeated++
	return true
}

// Overdue takes the jobs back that slots have held for longer than the stage's
// timeout at now, the one held longest first: for Retry to decide. Such a slot is
// stuck, and gets nothing before a beat says that it has done with its job.
func (b *Balancer) Overdue(now time.Time) (jobs []*loopback.Job) {
	if b.cfg.Timeout <= 0 {
		return nil
	}
	for s := b.busy.first; s != nil && now.Sub(s.held.since) > b.cfg.Timeout; s = b.busy.first {
		left := s.held.left
		if job := b.takeBack(s); !left { // else nobody waits for it
			jobs = append(jobs, job)
		}
	}
	for s := b.streaming.first; s != nil; {
		next := s.next
		if s.held.left {
			b.streaming.remove(s)
			s.held.begun, s.held.since = false, now
			b.busy.push(s)
		}
		s = next
	}
	return jobs
}

// Begun takes the word of a Butterfly slot that the job of a key is being answered
// in parts: the timeout was for the first. It holds again once the job is
// interrupted, be it that its client has left or that no part comes any more.
func (b *Balancer) Begun(s *Slot, key wire.Key) {
	if b.cfg.Timeout <= 0 || s.gone || s.held.job == nil || s.held.key != key || s.held.begun || s.held.left {
		return
	}
	b.busy.remove(s)
	s.held.begun = true
	b.streaming.push(s)
}

// GivenUp takes the word of a Butterfly slot that the job of a key has no
// outcome, since it took too long, and returns the job: for Retry to decide. It
// returns nil if the slot does not hold that job, or not any more. The beat that
// said so counts besides, by Idle or Withdraw.
func (b *Balancer) GivenUp(s *Slot, done wire.Key) *loopback.Job {
	if s.gone || s.kind != Butterfly || s.held.job == nil || s.held.key != done {
		return nil
	}
	return b.takeBack(s)
}

// takeBack takes the job from a slot that holds one, and leaves the slot stuck.
func (b *Balancer) takeBack(s *Slot) *loopback.Job {
	job := s.held.job
	b.release(s)
	s.held = holding{key: s.held.key}
	s.stuck = true
	b.stuck++
	return job
}

// release takes a held job off the Balancer's accounts, for all that ends the
// holding of one.
func (b *Balancer) release(s *Slot) {
	b.queue.crowds.leave(s.held.crowd)
	b.held--
	switch {
	case s.held.begun:
		b.streaming.remove(s)
	case b.cfg.Timeout > 0:
		b.busy.remove(s)
	}
}

// unstick ends the time in which a slot gets nothing.
func (b *Balancer) unstick(s *Slot) {
	if s.stuck {
		s.stuck, s.held = false, holding{}
		b.stuck--
	}
}

// Stuck returns how many slots have not come back from a job that was taken from
// them.
func (b *Balancer) Stuck() int { return b.stuck }
