package loopback

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/transport"
)

// Submit implements Stage. A job that may have left when its connection is lost
// is not sent again: it might be done twice. A front's table decides about those
// of its own. The error is that of transport.Dialer.Send, or, for a front, a
// *StageFullError if all proxies say that they are.
func (p *Proxies) Submit(job *Job, sent transport.Notifier) error {
	if p.single != nil {
		return p.single.Submit(job, sent)
	}
	if p.table != nil {
		if err := p.refuse(time.Now()); err != nil {
			return err
		}
		if sent == nil {
			p.table.Submitted(job, p, time.Now())
		}
	}
	return p.send(&errand{proxies: p, job: job, sent: sent})
}

// refuse returns an error if all proxies that take jobs have said that they are
// full.
func (p *Proxies) refuse(now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	full := false
	for _, c := range p.from {
		if c.takes() {
			if now.UnixNano() >= c.full {
				return nil
			}
			full = true
		}
	}
	if !full {
		return nil
	}
	return &StageFullError{Retry: p.wait()}
}

// again finds another proxy for a job that has not left.
func (p *Proxies) again(e *errand) {
	err := p.send(e)
	switch {
	case err == nil:
	case e.sent == nil && p.table != nil:
		p.table.fail(&e.job.Info, ErrLost)
	default:
		e.Sent(err)
	}
}

// release sends what has waited.
func (p *Proxies) release(e *errand) {
	if e.isOpen() {
		p.again(e)
	}
	p.mu.Lock()
	delete(p.leave, e)
	p.mu.Unlock()
	p.account.settle()
}

// send gives a job to a proxy, or keeps it if none is there.
func (p *Proxies) send(e *errand) error {
	for {
		job := e.job
		m, epoch, err := p.choose(e)
		if m == nil {
			if err == nil && e.sent != nil {
				e.Sent(transport.ErrWaiting)
			}
			return err
		}
		if e.late && e.sent == nil && p.fit != nil && m.remote.Prime() {
			fit := *e.job // the table has it, too, and shows it to others
			if err := p.fit(&fit); err != nil {
				p.table.fail(&e.job.Info, err)
				return nil
			}
			job = &fit
		}
		err = m.remote.send(&job.Info, job.Payload.Frames(), e)
		if !errors.Is(err, transport.ErrPeerGone) && !errors.Is(err, transport.ErrClosed) {
			return err
		}
		p.gone(m, epoch)
	}
}

// choose returns the proxy for a job, with the number of its connection, or keeps
// the job and returns nil.
func (p *Proxies) choose(e *errand) (m *member, epoch uint64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var i int
	if info := &e.job.Info; info.Extended && info.Piece() != nil {
		now := time.Now()
		var until time.Time
		if i, until = meet(p.from, info.Key(), info.Piece(), now); i >= 0 && !until.IsZero() {
			p.recall(until.Sub(now))
			i = -1
		}
	} else {
		i = pick(p.from, p.table == nil, rand.Int64N)
	}
	if i < 0 {
		return nil, 0, p.hold(e)
	}
	m = p.members[i]
	m.sent++
	return m, m.epoch, nil
}

// recall sends what waits once that has passed, or before: a part whose group may
// meet at a proxy to which there is no connection now. The caller holds the lock.
func (p *Proxies) recall(after time.Duration) {
	if p.recalls {
		return
	}
	p.recalls = true
	time.AfterFunc(after, func() {
		p.mu.Lock()
		p.recalls = false
		p.resend()
	})
}

// resend sends what waits, if there is a proxy. It gives back the lock, which the
// caller holds.
func (p *Proxies) resend() {
	var ready []*errand
	if pick(p.from, p.table == nil, rand.Int64N) >= 0 {
		ready = p.waits.take()
		for _, e := range ready {
			p.leave[e] = struct{}{}
		}
	}
	p.mu.Unlock()
	for _, e := range ready {
		p.release(e)
	}
}

// gone says that a connection took nothing any more. The caller does not hold
// the lock.
func (p *Proxies) gone(m *member, epoch uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.epoch == epoch && m.up {
		m.up, m.down = false, time.Now()
	}
}

// hold keeps a job until a proxy comes. The caller holds the lock.
func (p *Proxies) hold(e *errand) error {
	if p.ending {
		return transport.ErrClosed
	}
	e.late = true
	dropped, ok := p.waits.add(e, func(job *Job) bool { return p.table == nil || p.table.isOpen(&job.Info) })
	for range dropped {
		p.account.settle()
	}
	if !ok {
		return &transport.QueueFullError{Peer: p.where, Count: len(p.waits.jobs), Bytes: p.waits.bytes}
	}
	p.account.open.Add(1)
	return nil
}
