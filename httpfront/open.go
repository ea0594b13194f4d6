package httpfront

import (
	"errors"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/valyala/fasthttp"
)

// open registers the request as pending.
func (x *exchange) open(req *httptext.Request, route *Route) (*loopback.Pending, error) {
	timeout := route.Timeout
	if timeout == 0 {
		timeout = x.front.cfg.Timeout
	}
	ask := loopback.Ask{Bytes: req.Size(), Now: x.began}
	if x.received { // that took what it took
		ask.Now = time.Now()
	}
	if timeout > 0 {
		ask.Deadline = ask.Now.Add(timeout)
	}
	x.client = x.clientOf(route)
	if route.Lane != nil {
		stay, err := route.Lane.enter(x.client, ask.Now, ask.Deadline)
		if err != nil {
			x.front.tooLate.Add(1)
			return nil, err
		}
		x.lane, x.stay = route.Lane, stay
	}
	p, err := x.front.cfg.Table.Open(ask)
	if err != nil {
		x.leave(dropped)
		if gauge, ok := route.Stage.(loopback.Gauge); ok && errors.Is(err, loopback.ErrFull) {
			err = &pendingError{err, gauge.Wait()}
		}
		return nil, err
	}
	x.key = p.Info().Key()
	return p, nil
}

// leave lets the request out of its lane, if it is in one.
func (x *exchange) leave(how outcome) {
	if x.lane != nil {
		x.lane.leave(x.client, x.stay, how, time.Now)
		x.lane = nil
	}
}

// turn waits until the request is let into its lane, if it has to. It returns whether
// the request has ended meanwhile.
func (x *exchange) turn(p *loopback.Pending) (ended bool) {
	if x.lane == nil || x.stay.ticket == nil {
		return false
	}
	lane, t := x.lane, x.stay.ticket
	most := time.AfterFunc(t.most, func() { lane.release(t, time.Now()) })
	defer most.Stop()
	select {
	case err := <-t.turn:
		if err != nil {
			x.front.tooLate.Add(1)
			p.Fail(err)
			<-p.Done()
			return true
		}
	case <-p.Done():
		return true
	}
	select { // it may be that both had come
	case <-p.Done():
		return true
	default:
		return false
	}
}

// outcomeOf says how a request's stay in its lane ended, of which answer and err
// are the end.
func outcomeOf(answer *loopback.Answer, err error) outcome {
	switch {
	case err == nil && answer.Info.Code != fasthttp.StatusServiceUnavailable:
		return answered
	case errors.Is(err, loopback.ErrDeadline):
		return expired
	}
	return dropped
}
