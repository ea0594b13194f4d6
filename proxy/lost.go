package proxy

// What becomes of the jobs of workers that are lost, or hold them for too long.

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
