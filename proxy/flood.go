package proxy

import (
	"errors"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// frameCost is about what a frame takes besides its bytes, so that a message of a
// thousand frames of a byte counts for what it is.
const frameCost = 64

// manyFrames are more than a front's job has: max_queue_bytes does not count them.
const manyFrames = 16

// framesOf returns how many frames a job has that came over the wire, its info frame
// included; 0 of others.
func framesOf(job *loopback.Job) int {
	if e, ok := job.Payload.(*envelope); ok {
		return len(e.message)
	}
	return 0
}

// load returns what the stage keeps: jobs that wait, that slots have, and groups of
// parts with those that have come; and about how many bytes of what waits.
func (p *Proxy) load() (jobs int, bytes int64) {
	q := &p.balancer.queue
	jobs = p.balancer.Queued() + p.balancer.held + p.gatherer.opened + p.gatherer.waiting
	return jobs, q.bytes + q.crowds.bytes + frameCost*int64(q.frames+q.crowds.frames) + p.gatherer.bytes
}

// flooded returns ErrFlooded for a job that does not come straight from a front, is
// a part, or has more frames than a front's, if the stage keeps more than honest fronts let in. Such jobs have to be
// taken, or else pools that forward into full queues wait for one another: this is a
// bound for peers that nobody bounds. To refuse with an answer blocks nobody. Not to
// read the peer would be the deadlock, since it may be a worker whose slots wait until
// their jobs have left. The caller holds the lock.
func (p *Proxy) flooded(e *envelope) error {
	ofFront := fromFront(&e.Info) && (!e.Info.Extended || e.Info.Piece() == nil) && len(e.message) <= manyFrames
	if ofFront || p.cfg.MaxForwarded == 0 && p.cfg.MaxForwardedBytes == 0 {
		return nil
	}
	c := &p.cfg.Balancer
	jobs, bytes := p.load()
	bytes += int64(e.Size) + frameCost*int64(len(e.message))
	switch {
	case jobs == 0: // a bound below one job's size is none
	case p.cfg.MaxForwarded > 0 && jobs-c.MaxQueue >= p.cfg.MaxForwarded,
		p.cfg.MaxForwardedBytes > 0 && bytes-c.MaxQueueBytes > p.cfg.MaxForwardedBytes:
		return ErrFlooded
	}
	return nil
}

// warn logs that jobs of a peer were refused with ErrFlooded, at a bounded rate.
func (p *Proxy) warn(peer *transport.Peer, refused []Refused) {
	n := 0
	for _, r := range refused {
		if errors.Is(r.Err, ErrFlooded) {
			n++
		}
	}
	if n == 0 {
		return
	}
	p.flood.do(time.Now(), func(suppressed int) {
		p.mu.Lock()
		jobs, bytes := p.load()
		p.mu.Unlock()
		p.cfg.Logger.Warn("forwarded jobs refused, the stage keeps too many", "peer", peer.Remote(), "refused", n,
			"jobs", jobs, "bytes", bytes, "suppressed", suppressed)
	})
}
