package proxy

import (
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// Held calls add with the keys of all jobs that the stage has: those that wait, be
// it for other parts, and those that its workers were given. It is what a
// loopback.Claimer is to ask. A worker that cannot claim its job itself has it
// claimed so.
func (p *Proxy) Held(front uint64, add func(wire.Key)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := func(key wire.Key) {
		if key.Instance == front {
			add(key)
		}
	}
	p.balancer.queue.each(of)
	p.gatherer.each(of)
	for _, w := range p.workers {
		w.all(func(pl *place) { pl.slot.each(of) })
	}
}

// each calls add with the keys of the jobs that a slot has, or may have.
func (s *Slot) each(add func(wire.Key)) {
	if s.held.job != nil {
		add(s.held.key)
	}
	if s.maybe != nil {
		add(s.maybe.Info.Key())
	}
}

// each calls add with the keys of all queued jobs, parked ones too.
func (q *queue) each(add func(wire.Key)) {
	for e := q.first; e != nil; e = e.next {
		add(e.key)
	}
	for key, x := range q.crowds.all {
		for ; x != nil; x = x.twin {
			if x.first != nil {
				add(key)
			}
		}
	}
}

// each calls add with the keys of all groups that wait for parts.
func (g *Gatherer) each(add func(wire.Key)) {
	for key := range g.groups {
		add(key)
	}
}

// arrived tells who wants to know that a job has come.
func (p *Proxy) arrived(job *loopback.Job) {
	if p.cfg.Arrived != nil {
		p.cfg.Arrived(job.Info.Key())
	}
}
