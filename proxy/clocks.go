package proxy

import (
	"sync"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// Deadlines are told by the clock of the front's machine and looked at by this one's.
// Where these differ, jobs are refused that have time, or begun that have none, and
// nothing else tells why. A front's job tells the second in which it came to be, so
// that of some jobs it is known by how much the clocks differ at least.

// A clock is judged by clockJobs jobs and for clockTime or longer, so that some of them
// came without delay.
const (
	clockTime = 10 * time.Second
	clockJobs = 16
)

// clocks watches the clocks of fronts, by their connections.
type clocks struct {
	mu sync.Mutex // guards the field below
	of map[*transport.Peer]*clockWatch
}

// clockWatch watches one clock. Times are how much it is ahead of this one's.
type clockWatch struct {
	since  time.Time
	jobs   int
	least  time.Duration // it is ahead by no less: the job would have come before it was sent
	most   time.Duration // it is ahead by no more, but for the delay of the fastest job
	offset time.Duration // by how much it differed at least when it was judged; negative: it is behind
}

// observe takes the jobs of a front, which came at now, and reports whether the clock
// has now been found to differ by more than deadlines allow for.
func (w *clockWatch) observe(jobs []*envelope, now time.Time) (differs bool) {
	for _, e := range jobs {
		if !e.Info.Extended || e.Info.Hops > 0 {
			continue
		}
		second := time.Unix(int64(e.Info.Time), 0)
		least, most := second.Sub(now), second.Add(time.Second).Sub(now)
		if w.jobs == 0 {
			w.since, w.least, w.most = now, least, most
		}
		w.least, w.most = max(w.least, least), max(w.most, most)
		w.jobs++
	}
	if w.jobs < clockJobs || now.Sub(w.since) < clockTime {
		return false
	}
	before := w.offset
	w.jobs, w.offset = 0, max(w.least, 0)+min(w.most, 0)
	return off(w.offset) && !off(before)
}

// off reports whether clocks differ by more than deadlines allow for.
func off(offset time.Duration) bool { return offset.Abs() > wire.ClockSkew }

// heard takes the jobs that a peer has sent.
func (p *Proxy) heard(peer *transport.Peer, jobs []*envelope, now time.Time) {
	p.clocks.mu.Lock()
	w := p.clocks.of[peer]
	if w == nil {
		w = &clockWatch{}
		p.clocks.of[peer] = w
	}
	differs, ahead := w.observe(jobs, now), w.offset
	p.clocks.mu.Unlock()
	if differs {
		p.cfg.Logger.Warn("the clock of a front differs from this machine's: by its deadlines jobs are refused, or begun in vain; set the clocks",
			"peer", peer.Remote(), "ahead_at_least", ahead.Round(time.Millisecond))
	}
}

// forget ends the watch of a peer that has gone.
func (c *clocks) forget(peer *transport.Peer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.of, peer)
}

// offset returns by how much the clock of a front is ahead of this one's at least,
// or behind it, of the front of which that is most.
func (c *clocks) offset() (most time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.of {
		if w.offset.Abs() > most.Abs() {
			most = w.offset
		}
	}
	return most
}
