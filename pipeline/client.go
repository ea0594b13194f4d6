package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// Client submits jobs to a stage and awaits their answers, without HTTP. It is
// safe for concurrent use.
type Client struct {
	table *loopback.Table
	stage loopback.Stage
}

// NewClient returns a client that submits to stage; the answers come to table,
// which must run.
func NewClient(table *loopback.Table, stage loopback.Stage) *Client {
	return &Client{table: table, stage: stage}
}

// Answer is what the pipeline made of a job.
type Answer struct{ payload wire.Payload }

// Bytes returns the answer as it travels: the text of an HTTP response, or
// what a worker in another language put there.
func (a Answer) Bytes() []byte {
	if f := a.payload.Frames(); len(f) > 0 {
		return f[0]
	}
	return nil
}

// Response returns the answer as an HTTP response, as Reply gave it.
func (a Answer) Response() (*Response, error) {
	if r, ok := a.payload.(*httptext.Response); ok {
		return r, nil
	}
	return httptext.ParseResponse(a.Bytes())
}

// Do submits one job and waits for its answer. The job's deadline is ctx's;
// when ctx ends first the job is interrupted and ctx's error returned, with its
// cause if there is one. The error of submission wraps that of the stage or a
// *loopback.FullError. An answer that comes in parts is gathered, up to
// MaxGathered bytes; then its job is interrupted and ErrGatheredTooLarge
// returned.
func (c *Client) Do(ctx context.Context, frames ...[]byte) (Answer, error) {
	if len(frames) == 0 {
		return Answer{}, fmt.Errorf("pipeline: a job has at least one frame")
	}
	payload := wire.Frames(frames)
	deadline, _ := ctx.Deadline()
	p, err := c.table.Open(loopback.Ask{Bytes: payload.Size(), Deadline: deadline})
	if err != nil {
		return Answer{}, fmt.Errorf("pipeline: submitting a job: %w", err)
	}
	defer p.Release()
	job := &loopback.Job{Info: *p.Info(), Payload: payload, Size: payload.Size()}
	if err := c.stage.Submit(job, nil); err != nil {
		p.Fail(err)
		<-p.Done()
		return Answer{}, fmt.Errorf("pipeline: submitting a job: %w", err)
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		p.Abandon(endOf(ctx)) // an answer that has come counts all the same
		<-p.Done()
	}
	a, err := p.Result()
	if s := p.Stream(); s != nil {
		defer p.Abandon(loopback.ErrGone) // before Release
		stop := context.AfterFunc(ctx, func() { p.Abandon(endOf(ctx)) })
		defer stop()
		return gather(a.Payload, s)
	}
	if errors.Is(err, loopback.ErrDeadline) { // the table was faster than we
		err = endOf(ctx)
	}
	return Answer{a.Payload}, err
}

// gather makes one answer of the parts of a stream.
func gather(first wire.Payload, s *loopback.Stream) (Answer, error) {
	opening, ok := first.(*httptext.Opening)
	if !ok {
		var err error
		if opening, err = httptext.ParseOpening(Answer{first}.Bytes()); err != nil {
			return Answer{}, fmt.Errorf("pipeline: first part of a streamed answer: %w", err)
		}
	}
	whole := *opening.Response
	whole.Body = slices.Clone(whole.Body)
	for {
		bytes, err := s.Next(0)
		switch {
		case errors.Is(err, io.EOF):
			return Answer{&whole}, nil
		case err != nil:
			return Answer{}, err
		case len(whole.Body)+len(bytes) > MaxGathered:
			return Answer{}, ErrGatheredTooLarge
		}
		whole.Body = append(whole.Body, bytes...)
	}
}

// endOf returns an error that is both ctx's and its cause. A context that has
// not ended is about to, at its deadline.
func endOf(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	switch {
	case err == nil:
		return context.DeadlineExceeded
	case errors.Is(cause, err):
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// NewAnswer returns an answer that came over the loopback.
func NewAnswer(a loopback.Answer) Answer { return Answer{a.Payload} }
