package proxy

import (
	"time"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// upstream hears the peers that send jobs.
type upstream struct{ *Proxy }

// PeerUp implements transport.Handler.
func (p upstream) PeerUp(peer *transport.Peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.audience.join(peer, p.status(time.Now()))
}

// PeerDown implements transport.Handler. The jobs that the peer sent stay: their
// front may be another, or come back.
func (p upstream) PeerDown(peer *transport.Peer, _ error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.audience.leave(peer)
	p.clocks.forget(peer)
}

// Receive implements transport.Handler.
func (p upstream) Receive(peer *transport.Peer, batch []transport.Message) {
	jobs := make([]*envelope, 0, len(batch))
	for _, m := range batch {
		e, info, key, err := open(m)
		if err == nil {
			jobs = append(jobs, e)
			continue
		}
		p.complain(peer, err)
		if key {
			p.answer(&info, err)
		} else {
			p.refused.note(err)
		}
	}
	now := time.Now()
	p.heard(peer, jobs, now)
	refused := p.submit(jobs, peer.Instance() != 0, now)
	p.warn(peer, refused)
	p.refuseAll(refused)
}

// Refused is a job that no worker gets, and why.
type Refused struct {
	Job *loopback.Job
	Err error
}

// submit queues jobs and assigns them at once where slots are idle, so that
// the queue's bounds are compared with what really waits. A proxy that drains takes
// no new requests of fronts, but of those that know of it, since their last jobs
// are on their way.
func (p *Proxy) submit(jobs []*envelope, informed bool, now time.Time) (refused []Refused) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range jobs {
		p.came++
		if p.over || p.draining && !informed && e.Info.Hops == 0 {
			refused = append(refused, Refused{&e.Job, ErrClosed})
			continue
		}
		if gone, replaced := p.absent.gone(&e.Info); gone {
			if !replaced {
				refused = append(refused, Refused{&e.Job, ErrFrontGone})
			}
			continue
		}
		if err := p.flooded(e); err != nil {
			refused = append(refused, Refused{&e.Job, err})
			continue
		}
		p.arrived(&e.Job)
		job, err := p.gatherer.Take(&e.Job, now)
		if err != nil {
			refused = append(refused, Refused{&e.Job, err})
		}
		if job != nil {
			refused = append(refused, p.admit(job, now)...)
			refused = append(refused, p.assign(now)...)
		}
	}
	p.hurry(now)
	return refused
}

// admit queues a job, unless it is a front's and had better not. The caller holds
// the lock.
func (p *Proxy) admit(job *loopback.Job, now time.Time) (refused []Refused) {
	if err := p.balancer.Admit(job, now); err != nil {
		return []Refused{{job, err}}
	}
	return p.enter(job)
}

// enter queues a job. The caller holds the lock.
func (p *Proxy) enter(job *loopback.Job) (refused []Refused) {
	e, ok := job.Payload.(*envelope)
	if !ok { // it was joined of parts
		e = enclose(job)
	}
	p.arrivals++
	e.arrival = p.arrivals
	if err := p.balancer.Submit(&e.Job); err != nil {
		return []Refused{{&e.Job, err}}
	}
	return nil
}

// assign carries out what the Balancer decides, and returns the jobs that came
// too late or that their slot must not get. The caller holds the lock.
func (p *Proxy) assign(now time.Time) (refused []Refused) {
	if p.over {
		return nil
	}
	for a, ok := p.balancer.Next(now); ok; a, ok = p.balancer.Next(now) {
		if a.Slot == nil {
			refused = append(refused, Refused{a.Job, a.Err})
			continue
		}
		if err := p.fit(a); err != nil {
			p.balancer.Decline(a)
			refused = append(refused, Refused{a.Job, err})
			continue
		}
		p.give(a)
	}
	return refused
}

// fit makes a job fit for its slot. For a prime_server worker that means a
// request, and only a front's jobs are requests for certain; what stages send to
// one another is theirs to know.
func (p *Proxy) fit(a Assignment) error {
	e := a.Job.Payload.(*envelope)
	if a.Slot.Kind() == Butterfly {
		return e.nameable()
	}
	if p.cfg.ForPrime == nil || a.Job.Info.Hops > 1 {
		return nil
	}
	m := e.message
	text, err := p.cfg.ForPrime(m[1])
	if err == nil {
		m[1] = text
	}
	return err
}

// give sends a job to its slot. The caller holds the lock.
func (p *Proxy) give(a Assignment) {
	pl := a.Slot.Owner.(*place)
	m := a.Job.Payload.(*envelope).render(a.Slot.Kind(), pl.number)
	if err := pl.worker.conn.Send(m, pl); err != nil {
		// Its connection has ended, or is of no use. Its end will be told, and
		// settles what else it holds.
		p.balancer.Revoke(a)
		pl.worker.gone = true
		pl.worker.conn.Close(err)
		return
	}
	pl.given++
}

// downstream hears the stage's workers.
type downstream struct{ *Proxy }

// PeerUp implements transport.Handler.
func (p downstream) PeerUp(peer *transport.Peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.workers[peer] = &worker{conn: peer}
}

// Receive implements transport.Handler. All beats count before a job is
// assigned: of several that a prime_server worker has sent, the last may be
// the one that ended its job.
func (p downstream) Receive(peer *transport.Peer, batch []transport.Message) {
	p.mu.Lock()
	w := p.workers[peer]
	p.mu.Unlock()
	if err := p.hear(w, batch, time.Now()); err != nil {
		p.complain(peer, err)
	}
}

// hear takes what a worker says, and returns the last error in it.
func (p *Proxy) hear(w *worker, batch []transport.Message, now time.Time) (bad error) {
	var overdue []*loopback.Job
	p.mu.Lock()
	for _, m := range batch {
		if w.gone {
			break
		}
		job, err := w.beat(p.balancer, m, p.cfg.MaxSlots)
		if err != nil {
			bad = err
		}
		if job != nil {
			overdue = append(overdue, job)
		}
	}
	if peer, ok := w.conn.(*transport.Peer); ok && w.asks {
		w.asks = false
		p.audience.joinWorker(peer, p.status(now))
	}
	failed := w.failed && p.cfg.Lost != nil
	w.failed = false
	ended := p.retry(overdue, nil, ErrOverdue)
	refused := p.assign(now)
	p.mu.Unlock()
	p.giveUp(ended)
	p.refuseAll(refused)
	if failed {
		p.cfg.Lost()
	}
	return bad
}

// PeerDown implements transport.Handler. All that was sent to the peer has been
// told to its places by now.
func (p downstream) PeerDown(peer *transport.Peer, err error) {
	p.mu.Lock()
	w := p.workers[peer]
	delete(p.workers, peer)
	p.audience.leave(peer)
	missed := !p.over && p.cfg.Lost != nil && w.any()
	p.mu.Unlock()
	if missed {
		p.cfg.Lost()
	}
	if lost, left, ended := p.mourn(w, p.mayLive(peer, err), time.Now()); lost > 0 {
		p.cfg.Logger.Warn("worker lost with jobs", "worker", peer.Remote(), "jobs", lost, "left_to_fronts", left, "given_up", ended, "err", err)
	}
}
