package proxy

import (
	"cmp"
	"errors"
	"io"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
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
	refused := p.submit(jobs, peer.Instance() != 0, time.Now())
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

// mayLive reports whether a worker whose connection ended by err may be alive and
// tell fronts what it has. The system ends the connections of a process that dies
// as it does those of one that closes them, or resets them if something there was
// not read yet. On one machine nobody else resets any; a network does, and what
// falls silent may be cut off or stopped.
func (p *Proxy) mayLive(peer *transport.Peer, err error) bool {
	ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	reset := errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	here := strings.HasPrefix(p.cfg.Downstream, "ipc:") || strings.HasPrefix(p.cfg.Downstream, "inproc:")
	return !ended && !(reset && here) && peer.Instance() != 0 && p.cfg.Lost != nil && p.cfg.Answerer != nil
}

// mourn settles what a worker held whose connection is lost. If the worker may
// live, jobs that must not run twice are left to their fronts, which ask who has
// them. It returns how many jobs may have run, how many of them were left so, and
// how many are not tried again.
func (p *Proxy) mourn(w *worker, mayLive bool, now time.Time) (jobs, left, givenUp int) {
	p.mu.Lock()
	lost, unsent := p.lose(w)
	if p.over {
		lost = nil // we left, not the worker: it may still answer
	}
	jobs = len(lost)
	if mayLive {
		lost = slices.DeleteFunc(lost, p.frontAsks)
		left = jobs - len(lost)
	}
	ended := p.retry(lost, unsent, ErrWorkerLost)
	refused := p.assign(now)
	p.mu.Unlock()
	p.giveUp(ended)
	p.refuseAll(refused)
	return jobs, left, len(ended)
}

// frontAsks reports whether a job that may be with a worker that was cut off is
// left to its front: the front would not repeat it either, and has 502 for it if
// nobody claims it. Parts have one key, by which one would hide another.
func (p *Proxy) frontAsks(job *loopback.Job) bool {
	i := &job.Info
	return i.Extended && i.Instance != 0 && !i.Flags.Has(wire.Repeatable) && i.Piece() == nil && !p.cfg.Balancer.Repeat.allows(i)
}

// lose takes a worker's slots away. It returns the jobs that may have run, and
// those that cannot have: their last byte has not reached the kernel. The caller
// holds the lock.
func (p *Proxy) lose(w *worker) (lost, unsent []*loopback.Job) {
	w.all(func(pl *place) {
		left := pl.unsent()
		if pl.slot.stuck && left > 0 {
			left-- // the last is the job that was taken back
		}
		jobs := p.balancer.Leave(pl.slot)
		// The jobs of a place reach the kernel in order: the last ones did not.
		first := len(jobs) - int(min(left, uint64(len(jobs))))
		lost, unsent = append(lost, jobs[:first]...), append(unsent, jobs[first:]...)
	})
	return lost, unsent
}

// retry queues jobs again that were taken from their slots, before all others
// and in their order: those that cannot have run, and of those that may have, the
// ones that may be repeated. It returns the others, to be refused with err, but
// for parts that others make up for. Jobs that nobody waits for are dropped. The
// caller holds the lock.
func (p *Proxy) retry(ran, unsent []*loopback.Job, err error) (ended []Refused) {
	again := unsent
	for _, job := range ran {
		switch gone, replaced := p.absent.gone(&job.Info); {
		case p.gatherer.Dropped(job.Info.Key()), replaced:
		case gone:
			ended = append(ended, Refused{job, ErrFrontGone})
		case p.balancer.Retry(job):
			again = append(again, job.Payload.(*envelope).again())
		case !leftToOthers(job):
			ended = append(ended, Refused{job, err})
		}
	}
	slices.SortFunc(again, func(a, b *loopback.Job) int { return cmp.Compare(arrival(a), arrival(b)) })
	for _, job := range slices.Backward(again) {
		p.balancer.Requeue(job)
	}
	return ended
}

// maxMourned bounds the log lines about jobs that one event ends.
const maxMourned = 16

// giveUp refuses jobs that are not tried again. Those that were tried more than
// once, and may be what costs the workers, are logged. The caller does not hold
// the lock.
func (p *Proxy) giveUp(ended []Refused) {
	logged := 0
	for _, r := range ended {
		if r.Job.Info.Attempt > 0 && logged < maxMourned {
			logged++
			p.cfg.Logger.Error("job given up", "request_id", r.Job.Info.RequestID(),
				"attempts", int(r.Job.Info.Attempt)+1, "err", r.Err)
		}
	}
	p.refuseAll(ended)
}

// leftToOthers reports whether the client is not to be told that a job is lost,
// since it is a part that others may make up for: where any will do, or where
// the join waits no longer than it was told to.
func leftToOthers(job *loopback.Job) bool {
	if !job.Info.Extended || job.Info.Piece() == nil {
		return false
	}
	piece := job.Info.Piece()
	return piece.Policy == wire.Any || piece.Policy == wire.BestEffort && piece.Timeout > 0
}

func arrival(job *loopback.Job) uint64 { return job.Payload.(*envelope).arrival }

// refuse tells the fronts of jobs that no worker gets, or that one was lost
// with. The caller does not hold the lock.
func (p *Proxy) refuse(err error, jobs ...*loopback.Job) {
	for _, job := range jobs {
		p.answer(&job.Info, err)
	}
}

// refuseAll is refuse for jobs with different reasons.
func (p *Proxy) refuseAll(refused []Refused) {
	for _, r := range refused {
		p.loops.note(p.cfg.Logger, r.Job, r.Err)
		p.refuse(r.Err, r.Job)
	}
}

// answer tells the front that info names of err.
func (p *Proxy) answer(info *wire.Info, err error) {
	p.refused.note(err)
	told := RefusalOf(err)
	cause := errNoAnswerer
	if p.cfg.Answerer != nil {
		out := *info
		out.Code = uint16(told.Status)
		if errors.Is(err, ErrFrontGone) && out.Extended {
			out.Flags |= wire.Lost
		}
		text := p.cfg.Render(&out, told)
		cause = p.cfg.Answerer.Answer(loopback.Answer{Info: out, Payload: wire.Frames{text}}, nil)
	}
	if cause == nil {
		return
	}
	p.lost.do(time.Now(), func(suppressed int) {
		p.cfg.Logger.Warn("job refused, its front cannot be told",
			"job", info.Key().String(), "status", told.Status, "reason", err, "err", cause, "suppressed", suppressed)
	})
}

// errNoAnswerer is why a front is not told where none is configured.
var errNoAnswerer = errors.New("proxy: no loopback is configured")

// complain logs a message that was refused, at a bounded rate.
func (p *Proxy) complain(peer *transport.Peer, err error) {
	p.trouble.do(time.Now(), func(suppressed int) {
		p.cfg.Logger.Warn("message refused", "peer", peer.Remote(), "err", err, "suppressed", suppressed)
	})
}
