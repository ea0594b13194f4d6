package proxy

import (
	"errors"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

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
