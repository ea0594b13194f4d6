package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

var (
	errNoResult = errors.New("pipeline: the handler returned neither a result nor an error")
	errGoexit   = errors.New("pipeline: the handler ended its goroutine")
)

// panicError is a handler's panic with the stack that it left.
type panicError struct {
	value any
	stack []byte
}

func newPanic(value any) error { return &panicError{value, debug.Stack()} }

func (e *panicError) Error() string {
	return fmt.Sprintf("pipeline: the handler panicked: %v", e.value)
}

// deliver hands the outcome of a job over: to the next stage, or back to the
// front that waits.
func (s *slot) deliver(job *loopback.Job, c *call, r Result, err error) {
	if r.beat != nil {
		s.beat = r.beat
	}
	if c.stream != nil && s.endStream(c, err) {
		return
	}
	if err == nil {
		err = s.settle(job, c, r)
	}
	if err != nil {
		s.failed.Add(1)
		s.fail(job, c, s.failure(c, err))
	}
}

// fail tells the client of an error, or, of a part for which others may make up,
// the join.
func (s *slot) fail(job *loopback.Job, c *call, r *Response) {
	if c.abandoned.Load() {
		job.Info.Flags |= wire.Lost
	}
	if s.joinOf(&job.Info) != nil {
		s.hold(c, loopback.Answer{}, job.Info)
		if s.failPart(&job.Info, c, r.Status, string(r.Body)) {
			return
		}
	}
	s.answer(job.Info, c, r)
}

func (s *slot) settle(job *loopback.Job, c *call, r Result) error {
	switch r.kind {
	case replied:
		if r.response == nil {
			return errNoResult
		}
		if err := r.response.Check(); err != nil {
			return err
		}
		s.answer(job.Info, c, r.response)
		return nil
	case forwarded:
		return s.forward(job, c, r)
	case scattered:
		return s.scatter(job, c, r.scattering)
	default:
		return errNoResult
	}
}

// forward submits a job for the next stage. Its info frame is the job's own.
func (s *slot) forward(job *loopback.Job, c *call, r Result) error {
	next, err := s.pool.next(r.stage)
	if err != nil {
		return err
	}
	if len(r.frames) == 0 {
		return fmt.Errorf("pipeline: a job forwarded to stage %q has no frames", r.stage)
	}
	payload := wire.Frames(r.frames)
	to := &loopback.Job{Info: job.Info, Payload: payload, Size: payload.Size()}
	s.hold(c, loopback.Answer{}, to.Info)
	if err := next.Submit(to, c); err != nil {
		return fmt.Errorf("pipeline: forwarding to stage %q: %w", r.stage, errors.Join(errBusy, err))
	}
	return nil
}

var errBusy = errors.New("the next stage takes no job now")

// answer sends a response to the front of the job.
func (s *slot) answer(info wire.Info, c *call, r *Response) {
	a := answerTo(info, c.job.payload, r)
	s.hold(c, a, a.Info)
	s.send(c, a)
}

// answerTo makes the answer to a job: as HTTP, or, for a prime_server front,
// which writes it to the client as it stands, as the text for this client.
func answerTo(info wire.Info, job wire.Payload, r *Response) loopback.Answer {
	if r.Status == 0 {
		r.Status = 200
	}
	info.Code = uint16(r.Status)
	a := loopback.Answer{Info: info, Payload: r}
	if info.Key().Instance == 0 {
		a.Payload = wire.Frames{r.Render(&a.Info, asksHead(&info, job))}
	}
	return a
}

// asksHead reports whether the client asked with HEAD, as far as that can be
// known behind a prime_server front: by a proxy's flag, or in the first stage.
func asksHead(info *wire.Info, job wire.Payload) bool {
	if info.Extended && info.Flags.Has(wire.Head) {
		return true
	}
	frames := job.Frames()
	return len(frames) > 0 && bytes.HasPrefix(frames[0], []byte("HEAD "))
}

// hold notes what is about to be handed over.
func (s *slot) hold(c *call, a loopback.Answer, info wire.Info) {
	c.note(a, info)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holding = c
	s.place.Hold(s.beat)
}

// note keeps an outcome until its fate is known.
func (c *call) note(a loopback.Answer, info wire.Info) {
	c.outcome.Lock()
	defer c.outcome.Unlock()
	c.answer, c.info = a, info
}

// settled ends the holding of c's outcome, unless the slot has given up on it
// and holds another one.
func (s *slot) settled(c *call, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holding == c {
		s.place.Sent(err)
	}
}

// send hands an answer over; where it finds no room, one that needs less.
func (s *slot) send(c *call, a loopback.Answer) {
	err := s.pool.cfg.Loopback.Answer(a, c)
	switch {
	case errors.As(err, new(*transport.LimitError)):
		s.pool.log.Error("answer too large", "request_id", a.Info.RequestID(), "err", err)
		err = s.pool.cfg.Loopback.Answer(s.instead(c, a.Info, 500, "the answer is too large"), c)
	case errors.Is(err, transport.ErrQueueFull):
		s.pool.lost.Do(func() { s.pool.log.Error("answer lost", "request_id", a.Info.RequestID(), "err", err) })
		err = s.pool.cfg.Loopback.Answer(s.instead(c, a.Info, 503, "the answer found no room on its way back"), c)
	}
	if err != nil {
		s.giveUp(c, &a.Info, err)
	}
}

// Sent implements transport.Notifier: it hears the fate of the outcome. One that
// waits for a front or proxy to come back does not hold the slot; of such a one
// it hears again if it gets lost. A job that may have been lost is not sent
// again: its front is told, which tries once more or tells its client; that does no
// harm if it was not lost after all. Or first the join, of a part for which others may make up. Of an answer that
// cannot be delivered the client is told too: it may be the answer itself that
// costs the connection.
func (c *call) Sent(err error) {
	s := c.slot
	if err == nil || errors.Is(err, transport.ErrWaiting) {
		s.settled(c, err)
		return
	}
	closed := errors.Is(err, transport.ErrClosed)
	c.outcome.Lock()
	job, told, info := c.answer.Payload == nil, c.told, c.info
	part := job && !c.failed && !closed && s.joinOf(&info) != nil
	if part {
		c.failed = true
	} else {
		c.told = true
	}
	c.outcome.Unlock()
	switch {
	case part && s.failPart(&info, c, 502, lostReason):
	case told, closed, c.stream != nil && c.stream.sent:
		s.giveUp(c, &info, err)
	case job:
		s.pool.log.Warn("job lost on its way to the next stage", "request_id", info.RequestID(), "err", err)
		info.Flags |= wire.Lost
		s.send(c, s.instead(c, info, 502, lostReason))
	default:
		s.pool.log.Warn("answer cannot be delivered", "request_id", info.RequestID(), "err", err)
		s.send(c, s.instead(c, info, 502, "the answer could not be delivered"))
	}
}

// instead makes and notes an error answer in place of an outcome.
func (s *slot) instead(c *call, info wire.Info, status int, reason string) loopback.Answer {
	a := answerTo(info, c.job.payload, errorResponse(status, reason+" (request "+info.RequestID()+")"))
	c.note(a, a.Info)
	return a
}

// giveUp lets go of an outcome that nobody takes.
func (s *slot) giveUp(c *call, info *wire.Info, err error) {
	s.pool.lost.Do(func() { s.pool.log.Error("answer lost", "request_id", info.RequestID(), "err", err) })
	s.settled(c, err)
}

// failure logs err and returns what the client may know of it.
func (s *slot) failure(c *call, err error) *Response {
	var known *StatusError
	if errors.As(err, &known) && known.Status >= 400 && known.Status <= 599 {
		return errorResponse(known.Status, known.Message)
	}
	id := c.job.RequestID()
	log := s.pool.log.With("request_id", id, "err", err)
	var p *panicError
	switch {
	case errors.As(err, &p):
		log.Error("handler panicked", "stack", string(p.stack))
	case errors.As(err, new(*transport.LimitError)):
		log.Error("job too large to be forwarded")
		return errorResponse(500, "the job is too large for the next stage (request "+id+")")
	case errors.Is(err, errBusy):
		s.pool.busy.Do(func() { log.Warn("job not forwarded") })
		return errorResponse(503, "the next stage is busy (request "+id+")")
	case c.abandoned.Load() && errors.Is(err, context.Canceled):
		return awayTooLong(c)
	case c.ctx.ended.Load() && errors.Is(err, context.DeadlineExceeded):
		return errorResponse(504, "the request took too long (request "+id+")")
	case s.isStopped() && errors.Is(err, context.Canceled):
		return errorResponse(503, "the worker was stopped (request "+id+")")
	default:
		log.Error("handler failed")
	}
	return errorResponse(500, "internal error (request "+id+")")
}

func errorResponse(status int, message string) *Response {
	return httptext.NewError(status, message)
}
