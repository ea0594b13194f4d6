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
	if deadline == 0 || b.pace.interval() == 0 {
		return nil
	}
	b.queue.settle()
	wait := b.pace.waits(b.queue.order.ahead(job.Info.Client, job.Info.Priority))
	if now.Add(wait+wait/margin+b.pace.service).UnixMicro() <= deadline {
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
// beginning at now: most jobs take longer than it has left. A job that came
// through other stages is begun all the same, and one that was begun before.
func (b *Balancer) hopeless(e *entry, now time.Time) bool {
	return b.cfg.Admission == AdmitDeadline && e.indexed && e.job.Info.Hops <= 1 && e.job.Info.Attempt == 0 &&
		now.Add(b.pace.service).UnixMicro() > e.deadline-b.queue.skew
}

// Wait returns how long it takes until all that waits now has got slots; 0
// where that is not known.
func (b *Balancer) Wait() time.Duration { return b.pace.waits(b.Queued()) }
