package loopback

import (
	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// jobOverhead is more than what a job costs a queue beside its payload.
const jobOverhead = 512

// backlog holds jobs, or what knows one, while their proxy is away: a front's. It is not the queue of
// the connection since it lets go of jobs whose clients leave, or whose deadline
// passes, meanwhile: their requests are not open any more. Its owner serializes
// the calls.
//
// Its limits are those of the queue, which is to take all of it at once. A single
// job is taken whatever its size.
type backlog[J interface{ waiting() *Job }] struct {
	limits  transport.QueueLimits
	jobs    []J
	bytes   int64
	sweepAt int // jobs at which it is worth looking for those that have ended
}

// waiting returns the job.
func (j *Job) waiting() *Job { return j }

// cost is what a job counts for.
func (j *Job) cost() int64 { return int64(j.Size) + jobOverhead }

// add takes a job, and reports whether there was room. It returns how many others
// were let go: those for which open does not hold.
func (b *backlog[J]) add(job J, open func(*Job) bool) (dropped int, ok bool) {
	cost := job.waiting().cost()
	if len(b.jobs) >= b.sweepAt || b.bytes+cost > b.limits.Bytes {
		dropped = b.sweep(open)
	}
	if len(b.jobs) > 0 && (len(b.jobs) >= b.limits.Count || b.bytes+cost > b.limits.Bytes) {
		return dropped, false
	}
	b.jobs = append(b.jobs, job)
	b.bytes += cost
	return dropped, true
}

// sweep lets go of all jobs for which open does not hold, and returns how many
// these were. To look at each is paid for by those that came since the last time.
func (b *backlog[J]) sweep(open func(*Job) bool) (dropped int) {
	kept := b.jobs[:0]
	b.bytes = 0
	for _, job := range b.jobs {
		if open(job.waiting()) {
			kept = append(kept, job)
			b.bytes += job.waiting().cost()
		}
	}
	dropped = len(b.jobs) - len(kept)
	clear(b.jobs[len(kept):])
	b.jobs = kept
	b.sweepAt = 2*len(kept) + 64
	return dropped
}

// take returns all jobs, in the order in which they came, and keeps none.
func (b *backlog[J]) take() []J {
	jobs := b.jobs
	*b = backlog[J]{limits: b.limits}
	return jobs
}

// isOpen reports whether an info frame names a job for which somebody waits.
func (t *Table) isOpen(i *wire.Info) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.find(i)
	return p != nil && p.id() == i.ID
}

// fail ends the request of a job that was not sent.
func (t *Table) fail(i *wire.Info, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.find(i); p != nil {
		t.stats.Failed++
		t.end(p, err)
	}
}
