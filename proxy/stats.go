package proxy

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/stats"
	"github.com/butterfly-zmq/butterfly/internal/transport"
)

// Stats is what a stage has, and had since it was made.
type Stats struct {
	Workers     int // connections of workers; inside one process, slots
	Slots       int // that have said that they are idle at least once
	Idle        int
	Busy        int // slots that hold a job
	Stuck       int // slots that did not come back from a job in time
	Queued      int // jobs that wait, parts that wait for their turn included
	QueuedBytes int64
	Parts       int           // parts of scattered jobs that wait for others
	Rate        uint32        // jobs done in the last second
	Wait        time.Duration // for how long a job is expected to wait that comes now; 0: it is not, or nobody knows
	Draining    bool
	// Clock is by how much the clock of a front is ahead of this machine's at least, or
	// behind it where it is negative: of the front of which that is most.
	Clock time.Duration

	Entered  uint64 // jobs queued; each visit counts
	Done     uint64 // ended with a beat
	Repeated uint64 // given to another slot after a loss or the timeout
	// Refused counts the jobs that no slot gets, or gets again, by reason, in
	// the order of Reasons.
	Refused []uint64
	// Waited is how long jobs waited for their first slot.
	Waited stats.Distribution
}

// counts are what a Balancer counts for Stats.
type counts struct {
	entered, repeated uint64
	waited            stats.Distribution
}

// wait counts how long a job has waited that is given out now.
func (c *counts) wait(e *entry, now int64) {
	switch e.since {
	case repeated:
	case 0:
		c.waited.Observe(0)
	default:
		c.waited.Observe(time.Duration(now-e.since) * time.Microsecond)
	}
}

// stats returns what a Balancer knows.
func (b *Balancer) stats() Stats {
	return Stats{
		Slots: b.heard, Idle: b.idle.length, Busy: b.held, Stuck: b.stuck,
		Queued: b.Queued(), QueuedBytes: b.queue.bytes + b.queue.crowds.bytes, Wait: b.Wait(),
		Entered: b.count.entered, Done: b.done, Repeated: b.count.repeated, Waited: b.count.waited,
	}
}

// Stats returns what the stage has.
func (p *Proxy) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.balancer.stats()
	s.Workers, s.Parts, s.Draining = len(p.workers), p.gatherer.Waiting(), p.draining
	s.Rate = p.audience.meter.rate(time.Now(), s.Done)
	s.Refused = p.refused.read()
	s.Clock = p.clocks.offset()
	return s
}

// Sockets returns what the upstream and the downstream socket have: nothing
// before Ready.
func (p *Proxy) Sockets() (up, down transport.Stats) {
	p.mu.Lock()
	upstream, downstream := p.up, p.down
	p.mu.Unlock()
	if upstream == nil {
		return up, down
	}
	return upstream.Stats(), downstream.Stats()
}

// Stats returns what the stage has.
func (l *Local) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.balancer.stats()
	s.Workers, s.Parts, s.Draining = l.slots, l.gatherer.Waiting(), l.draining
	s.Rate = l.meter.rate(time.Now(), s.Done)
	s.Refused = l.refused.read()
	return s
}

// reasons name what jobs are refused for. The first match counts.
var reasons = [...]struct {
	err  error
	name string
}{
	{ErrQueueFull, "queue_full"},
	{ErrFlooded, "flooded"},
	{ErrDeadline, "deadline"},
	{ErrNoWorkers, "no_workers"},
	{ErrExpired, "expired"},
	{ErrClosed, "closed"},
	{ErrWorkerLost, "worker_lost"},
	{ErrFrontGone, "front_gone"},
	{ErrOverdue, "overdue"},
	{ErrLoop, "loop"},
	{ErrUnfit, "unfit"},
	{ErrPart, "part_failed"},
	{ErrMissing, "parts_missing"},
	{ErrJoinedSize, "parts_too_large"},
	{ErrMessage, "malformed"},
	{nil, "other"},
}

// Reasons returns the names of what jobs are refused for.
func Reasons() []string {
	names := make([]string, len(reasons))
	for i, r := range reasons {
		names[i] = r.name
	}
	return names
}

// tally counts refusals by reason. It is safe for concurrent use.
type tally [len(reasons)]atomic.Uint64

func (t *tally) note(err error) {
	i := 0
	for i < len(reasons)-1 && !errors.Is(err, reasons[i].err) {
		i++
	}
	t[i].Add(1)
}

func (t *tally) read() []uint64 {
	counts := make([]uint64, len(t))
	for i := range t {
		counts[i] = t[i].Load()
	}
	return counts
}
