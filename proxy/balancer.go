// Package proxy is a stage: a queue of jobs, the slots of its workers, and the
// rule that a job goes only to a slot that said it is idle.
//
// [Balancer] decides and knows nothing else. [Local] puts it under a lock, for
// stages inside one process; [Proxy] puts it between two ROUTER sockets, for
// stages whose workers are other processes.
package proxy

import (
	"cmp"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/queueing"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// BalancerConfig configures a Balancer. The zero value is a plain FIFO
// without bounds.
type BalancerConfig struct {
	// Stage is the stage's name: it leaves its trail in the envelopes of jobs.
	// Empty: it leaves none.
	Stage string
	// MaxHops bounds how many stages a job may enter until it is in this one,
	// this one included; 0: no bound.
	MaxHops int
	// MaxVisits bounds how often a job may enter this stage; 0: no bound. The
	// envelope counts the visits of wire.MaxVisited stages that have such a
	// bound: in a cycle of more MaxHops has to hold.
	MaxVisits int
	// Names are the names of the pipeline's stages by their wire.StageHash, for
	// the text of a *LoopError, which shows others as hashes. It is not copied.
	Names map[uint32]string
	// MaxQueue bounds the jobs that wait, for jobs that come straight from a
	// front; 0: no bound. Parts of scattered jobs that wait for their turn to be
	// queued do not count. A Balancer never refuses jobs between stages: pools that
	// forward into their own full queue would deadlock, and what the fronts
	// admitted bounds them.
	MaxQueue int
	// MaxQueueBytes bounds the payload bytes that wait, likewise; 0: no bound.
	MaxQueueBytes int64
	// Weights are the shares of the priority classes, by a job's priority: while
	// jobs of all wait, a class of weight 8 beside one of 1 gets eight turns of
	// nine. A job of a class beyond is one of the last class. nil:
	// DefaultWeights.
	Weights []int
	// Skew is added to deadlines: wire.ClockSkew where they were set by the
	// clock of another machine, 0 where it was this process's own.
	Skew time.Duration
	// Chooser picks a slot; nil: the one that has been idle longest.
	Chooser Chooser
	// Repeat says which jobs may run again after a loss or the timeout.
	Repeat Repeat
	// Attempts is how often a job is given to a slot during one visit, the
	// first time included, at most MaxAttempts; 0: DefaultAttempts.
	Attempts int
	// Timeout is how long a slot may hold a job; 0: no bound. A Balancer with
	// one wants to be told the time by Next.
	Timeout time.Duration
	// Admission says which jobs of fronts are taken while there is room. A
	// Balancer with AdmitDeadline wants to be asked by Admit before Submit, and
	// told the time by Next while jobs wait.
	Admission Admission
	// NoWorkers says what becomes of jobs of fronts while there is no slot.
	NoWorkers NoWorkers
}

// Chooser picks one of several idle slots for a job and returns its place in
// idle, which is ordered longest idle first. Any other number means the
// longest idle. It is not asked where there is one only. It runs under the
// stage's lock, must not block, and must not keep or change its arguments.
type Chooser func(idle []Candidate, job *loopback.Job) int

// Candidate is an idle slot that a Chooser may pick.
type Candidate struct {
	Beat []byte // the application's bytes in the slot's last beat
	slot *Slot
}

// Assignment is what Next decided: Job goes to Slot. Where Slot is nil the job
// is to be refused with Err: ErrExpired, or a *DeadlineError.
type Assignment struct {
	Slot *Slot
	Job  *loopback.Job
	Err  error
}

// Balancer decides which slot does which job. It has no goroutine, clock,
// socket or lock: its owner serializes the calls, and does what they return.
// In steady state no call allocates, but for jobs that go in cycles.
//
// Jobs that wait take turns: the priority classes by their weights, and the
// clients within a class; those of one client are first in, first out. A slot
// has at most one job. After calls of
// Idle, Withdraw, Leave, Submit and Requeue the owner calls Next until there is
// nothing more. Of the parts of a scattered job at most as many as it asks for
// are queued or held at a time; one that is given back counts, but is not held
// back for that.
type Balancer struct {
	cfg        BalancerConfig
	counter    counter
	queue      queue
	idle       slotList
	busy       slotList    // slots that hold jobs, the longest first; only with a timeout
	streaming  slotList    // those of them whose jobs have begun to be answered in parts
	candidates []Candidate // scratch for the Chooser
	pace       queueing.Pace

	prime int    // slots of Prime kind
	heard int    // slots that have been idle once
	held  int    // slots that hold a job
	stuck int    // slots whose job was taken back
	done  uint64 // jobs that ended with a beat
	count counts
}

// NewBalancer returns a Balancer without jobs and slots.
func NewBalancer(c BalancerConfig) *Balancer {
	if len(c.Weights) == 0 {
		c.Weights = DefaultWeights()
	}
	c.Attempts = min(cmp.Or(c.Attempts, DefaultAttempts), MaxAttempts)
	o := order{weights: c.Weights, counts: c.Admission == AdmitDeadline}
	return &Balancer{cfg: c, counter: newCounter(c), queue: queue{skew: c.Skew.Microseconds(), order: o}}
}

// Join makes a slot, which gets nothing before it is Idle.
func (b *Balancer) Join(kind Kind, owner any) *Slot {
	if kind == Prime {
		b.prime++
	}
	return &Slot{Owner: owner, kind: kind}
}

// Idle takes a slot's beat: the application's bytes, which the Balancer keeps
// for the Chooser, and, of a Butterfly slot, the last job it did. See Slot for
// what a beat is believed to say.
func (b *Balancer) Idle(s *Slot, beat []byte, done wire.Key) {
	switch {
	case s.gone, s.has() && s.kind == Butterfly && s.held.key != done:
		return
	case s.held.job != nil:
		b.free(s)
	default:
		b.unstick(s)
		s.maybe = nil
	}
	s.beat = beat
	if b.queue.length == 0 {
		b.pace.Pause()
	}
	if s.idle {
		return // its place among the idle stays
	}
	if !s.heard {
		s.heard = true
		b.heard++
	}
	s.idle = true
	b.idle.push(s)
}

// Withdraw takes the beat by which a Butterfly slot says that it wants no more
// jobs, and reports whether the slot has left. If not, a job had crossed the
// beat: the slot does it and withdraws again.
func (b *Balancer) Withdraw(s *Slot, done wire.Key) bool {
	if s.has() && s.held.key != done {
		return false
	}
	if s.held.job != nil {
		b.free(s)
	}
	b.Leave(s)
	return true
}

// free ends the job that a slot holds.
func (b *Balancer) free(s *Slot) {
	s.maybe = nil
	if s.kind == Prime {
		s.maybe = s.held.job
	}
	b.pace.Finish(s.held.since)
	b.release(s)
	s.held = holding{}
	b.done++
}

// Submit queues a job that enters the stage, and counts the stage in its info
// frame. It returns a *QueueFullError for a job that comes straight from a front
// when the queue has reached a bound, or ErrNoWorkers if it does not wait for
// workers; then the caller keeps the job, unchanged.
// It returns a *LoopError for a job that has entered too many stages, or this
// one too often: the caller keeps it, too, and is to tell its front.
func (b *Balancer) Submit(job *loopback.Job) error {
	if fromFront(&job.Info) {
		if err := b.full(job.Size); err != nil {
			return err
		}
	}
	if err := b.counter.enter(&job.Info); err != nil {
		return err
	}
	job.Info.Attempt = 0
	b.count.entered++
	b.queue.push(job)
	return nil
}

// Requeue gives a job that was in the stage already the next turn of its class,
// whatever the bounds are.
func (b *Balancer) Requeue(job *loopback.Job) { b.queue.pushFront(job) }

// Next takes the next assignment while both a job and an idle slot exist. Jobs
// whose deadline has passed at now come out without a slot. The zero time is
// before all deadlines, and measures nothing: a caller that knows of no deadlines,
// and that no job has to wait, need not ask the clock.
func (b *Balancer) Next(now time.Time) (Assignment, bool) {
	if len(b.queue.crowds.ready) > 0 {
		b.queue.admit()
	}
	if b.queue.first == nil {
		if b.idle.first != nil {
			b.pace.Pause()
		}
		return Assignment{}, false
	}
	if !now.IsZero() {
		b.queue.now = now.UnixMicro()
		b.measure(now)
	}
	if b.idle.first == nil {
		b.queue.settle()
		return Assignment{}, false
	}
	e := b.queue.head()
	if e.deadline != 0 {
		if e.late(now.UnixMicro()) {
			return Assignment{Job: b.queue.drop(e), Err: ErrExpired}, true
		}
		if b.hopeless(e, now) {
			return Assignment{Job: b.queue.drop(e), Err: &DeadlineError{Retry: b.Wait()}}, true
		}
	}
	b.count.wait(e, b.queue.now)
	s := b.pick(e.job)
	b.idle.remove(s)
	s.idle = false
	s.held.key, s.held.crowd = e.key, e.crowd
	s.held.job = b.queue.remove(e)
	s.held.since = now
	b.held++
	if b.cfg.Timeout > 0 {
		b.busy.push(s)
	}
	return Assignment{Slot: s, Job: s.held.job}, true
}

// Revoke undoes an assignment that could not be carried out: the job is queued
// again before all others, and the slot gets nothing before its next beat.
func (b *Balancer) Revoke(a Assignment) {
	b.release(a.Slot)
	a.Slot.held = holding{}
	b.queue.pushFront(a.Job)
}

// Decline undoes an assignment of a job that the slot must not get: the job is
// the caller's, and the slot is idle again, before all others.
func (b *Balancer) Decline(a Assignment) {
	b.release(a.Slot)
	a.Slot.held = holding{}
	a.Slot.idle = true
	b.idle.pushFront(a.Slot)
}

// pick returns the slot for a job; at least one is idle.
func (b *Balancer) pick(job *loopback.Job) *Slot {
	if b.cfg.Chooser == nil || b.idle.length == 1 {
		return b.idle.first
	}
	b.candidates = b.candidates[:0]
	for s := b.idle.first; s != nil; s = s.next {
		b.candidates = append(b.candidates, Candidate{Beat: s.beat, slot: s})
	}
	i := b.cfg.Chooser(b.candidates, job)
	s := b.idle.first
	if i >= 0 && i < len(b.candidates) {
		s = b.candidates[i].slot
	}
	clear(b.candidates)
	return s
}

// Cancel removes the queued jobs of a key and returns how many there were: a
// key may be queued more than once. A key without instance is that of a
// prime_server front and names only jobs without one: such a front's ids are
// no other front's.
func (b *Balancer) Cancel(key wire.Key) int {
	for s := b.streaming.first; s != nil; s = s.next {
		if s.held.key == key {
			s.held.left = true
		}
	}
	return b.queue.cancel(key)
}

// Expire removes the queued jobs whose deadline has passed at now and returns
// them, first in first, to be refused.
func (b *Balancer) Expire(now time.Time) []*loopback.Job {
	return b.queue.expire(now.UnixMicro())
}

// Leave takes a slot away and returns the jobs that are lost with it, in the
// order in which it got them: the one maybe held, then the one held.
func (b *Balancer) Leave(s *Slot) (lost []*loopback.Job) {
	if s.gone {
		return nil
	}
	if s.maybe != nil {
		lost = append(lost, s.maybe)
	}
	if s.held.job != nil {
		lost = append(lost, s.held.job)
		b.release(s)
	}
	b.unstick(s)
	if s.idle {
		b.idle.remove(s)
	}
	if s.heard {
		b.heard--
	}
	if s.kind == Prime {
		b.prime--
	}
	*s = Slot{Owner: s.Owner, kind: s.kind, gone: true}
	return lost
}

// Clear removes all queued jobs and returns them, first in first.
func (b *Balancer) Clear() []*loopback.Job { return b.queue.clear() }

// Queued returns how many jobs wait, parts that are parked included.
func (b *Balancer) Queued() int { return b.queue.length + b.queue.crowds.parked }

// Quiet reports whether no job waits and no slot holds one for certain.
func (b *Balancer) Quiet() bool { return b.Queued() == 0 && b.held == 0 }

// Done returns how many jobs have ended with a beat.
func (b *Balancer) Done() uint64 { return b.done }

// Status describes the stage, but for its connections and rate, which a
// Balancer does not know.
func (b *Balancer) Status() wire.Status {
	return wire.Status{
		Prime:  b.prime > 0,
		Slots:  uint32(b.heard),
		Idle:   uint32(b.idle.length),
		Queued: uint32(b.Queued()),
		Full:   !b.fits(0),
		Wait:   b.Wait(),
	}
}
