package proxy

import (
	"time"

	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// Admission says which jobs of fronts a stage takes while its queue has room.
// Jobs of other stages are always taken.
type Admission uint8

// What a stage may say.
const (
	// AdmitQueue takes all.
	AdmitQueue Admission = iota
	// AdmitDeadline refuses those that cannot be done by their deadline, given
	// what waits before them and what the stage was measured to do.
	AdmitDeadline
)

// NoWorkers says what becomes of jobs that come straight from a front while a
// stage has no workers.
type NoWorkers uint8

// What a stage may say.
const (
	NoWorkersWait   NoWorkers = iota // they wait for one
	NoWorkersRefuse                  // they are refused
)

// margin is the part of a wait, one in so many, by which it may be longer than
// computed. A queue that is shorter by so much costs no work; without it those that
// wait longest would be begun with no more time left than most jobs take, and the
// dear ones among them in vain.
const margin = 4

// fromFront reports whether a job comes straight from a front. One without
// extension has no hops: nothing says that it ever was admitted.
func fromFront(info *wire.Info) bool { return !info.Extended || info.Hops == 0 }

// Admit returns a *DeadlineError for a job that is not to be submitted at now,
// since it has to wait and cannot be done in time. The caller keeps it. What
// waits before it is a lower bound: those who come later may overtake it, by
// their class or because their client has waited for less.
func (b *Balancer) Admit(job *loopback.Job, now time.Time) error {
	if !b.selects(&job.Info) {
		return nil
	}
	deadline := deadlineOf(&job.Info, 0)
	if deadline == 0 || b.pace.Interval() == 0 {
		return nil
	}
	b.queue.settle()
	wait := b.pace.Waits(b.queue.order.ahead(job.Info.Client, job.Info.Priority))
	if now.Add(wait+wait/margin+b.pace.Service()).UnixMicro() <= deadline {
		return nil
	}
	return &DeadlineError{Wait: wait, Retry: b.Wait()}
}

// selects reports whether Admit has to look at the clock: the stage is choosy,
// and the job will have to wait.
func (b *Balancer) selects(info *wire.Info) bool {
	return b.cfg.Admission == AdmitDeadline && b.idle.first == nil && fromFront(info)
}

// hopeless reports whether a job that has waited for its turn is not worth
// beginning at now: most jobs take longer than it has left, and others want the
// slot. A job that came through other stages is begun all the same, and one that
// was begun before.
func (b *Balancer) hopeless(e *entry, now time.Time) bool {
	return b.cfg.Admission == AdmitDeadline && b.queue.length > b.idle.length && e.indexed && e.job.Info.Hops <= 1 && e.job.Info.Attempt == 0 &&
		now.Add(b.pace.Service()).UnixMicro() > e.deadline-b.queue.skew
}

// Busy returns how many slots there are, and whether jobs wait while none is idle.
func (b *Balancer) Busy() (slots int, backlogged bool) {
	return b.heard, b.heard > 0 && b.idle.first == nil && b.queue.first != nil
}

// Rush reports whether so many jobs wait that the last of them does for rushWait,
// or, where that is not known, more than there are slots.
func (b *Balancer) Rush() bool {
	if b.idle.first != nil || b.queue.length <= b.heard || b.heard == 0 {
		return false
	}
	wait := b.Wait()
	return wait == 0 || wait > rushWait
}

// Wait returns how long it takes until all that waits now has got slots; 0
// where that is not known.
func (b *Balancer) Wait() time.Duration { return b.pace.Waits(b.Queued()) }

// full compares what really waits with the bounds: jobs for which a slot is
// idle are about to leave.
func (b *Balancer) full(size int) error {
	if b.cfg.NoWorkers == NoWorkersRefuse && b.heard == 0 {
		return ErrNoWorkers
	}
	if b.fits(size) {
		return nil
	}
	return &QueueFullError{
		Jobs: b.queue.length - b.idle.length, Bytes: b.queue.bytes + b.queue.crowds.bytes, Retry: b.Wait(),
	}
}

// fits reports whether a front's job of that size has room in the queue.
func (b *Balancer) fits(size int) bool {
	waiting := b.queue.length - b.idle.length
	return waiting < 0 || (b.cfg.MaxQueue <= 0 || waiting < b.cfg.MaxQueue) &&
		(b.cfg.MaxQueueBytes <= 0 || b.queue.bytes+b.queue.crowds.bytes+int64(size) <= b.cfg.MaxQueueBytes)
}

// measure counts the time until now. Without slots that take jobs none passes.
func (b *Balancer) measure(now time.Time) {
	if b.heard > b.stuck {
		b.pace.Observe(now, b.done)
	} else {
		b.pace.Pause()
	}
}
