package proxy

import (
	"slices"

	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// maxAbsent bounds the fronts that have gone and are remembered.
const maxAbsent = 64

// absent are the fronts that have gone, the latest last: whether another one is in
// their place. Jobs of theirs that come are not taken.
type absent struct {
	fronts []uint64
	of     map[uint64]bool
}

// gone reports whether the front of a job has gone, and for good.
func (a *absent) gone(info *wire.Info) (gone, replaced bool) {
	if len(a.fronts) == 0 || !info.Extended || info.Instance == 0 {
		return false, false
	}
	replaced, gone = a.of[info.Instance]
	return gone, replaced
}

func (a *absent) add(front uint64, replaced bool) {
	if a.of == nil {
		a.of = make(map[uint64]bool)
	}
	if _, known := a.of[front]; !known {
		if len(a.fronts) == maxAbsent {
			delete(a.of, a.fronts[0])
			a.fronts = slices.Delete(a.fronts, 0, 1)
		}
		a.fronts = append(a.fronts, front)
	}
	a.of[front] = replaced
}

func (a *absent) remove(front uint64) {
	delete(a.of, front)
	a.fronts = slices.DeleteFunc(a.fronts, func(f uint64) bool { return f == front })
}

// FrontGone implements loopback.Mourner: the front's jobs leave the queue, and so
// do parts that wait for others. A front that may come back finds an answer that
// they are lost. What workers have they give up themselves.
func (p *Proxy) FrontGone(front uint64, replaced bool) {
	p.mu.Lock()
	p.absent.add(front, replaced)
	jobs := append(p.balancer.Abandon(front), p.gatherer.Abandon(front)...)
	p.mu.Unlock()
	if len(jobs) > 0 {
		p.cfg.Logger.Warn("jobs given up, their front has gone", "jobs", len(jobs), "replaced", replaced)
	}
	if !replaced {
		p.refuse(ErrFrontGone, jobs...)
	}
}

// FrontBack implements loopback.Mourner.
func (p *Proxy) FrontBack(front uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.absent.remove(front)
}

// Abandon removes the queued jobs of a front, parked parts too, and returns one
// for each request.
func (b *Balancer) Abandon(front uint64) []*loopback.Job {
	found := make(map[wire.Key]*loopback.Job)
	var keys []wire.Key // in the order of their jobs
	note := func(e *entry) {
		if e.key.Instance == front && found[e.key] == nil {
			found[e.key] = e.job
			keys = append(keys, e.key)
		}
	}
	for e := b.queue.first; e != nil; e = e.next {
		note(e)
	}
	for _, x := range b.queue.crowds.all {
		for ; x != nil; x = x.twin {
			if x.first != nil {
				note(x.first)
			}
		}
	}
	var jobs []*loopback.Job
	for _, key := range keys {
		b.Cancel(key)
		jobs = append(jobs, found[key])
	}
	return jobs
}

// Abandon forgets the groups of a front and returns a job for each request.
func (g *Gatherer) Abandon(front uint64) []*loopback.Job {
	var jobs []*loopback.Job
	for key, x := range g.groups {
		if key.Instance == front {
			jobs = append(jobs, x.refused(nil).Job)
			g.Drop(key)
		}
	}
	return jobs
}
