package pipelinetest

import (
	"context"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline"
)

// bench is everything around a pool at once: the slot that gives one job, the
// next stage, and the loopback.
type bench struct {
	job     *loopback.Job
	given   bool
	stage   string
	outcome *Outcome
}

// watch returns h, with the stage that it forwards to written down.
func (b *bench) watch(h pipeline.Handler) pipeline.Handler {
	return pipeline.HandlerFunc(func(ctx context.Context, job *pipeline.Job) (pipeline.Result, error) {
		r, err := h.Handle(ctx, job)
		b.stage, _ = r.Forwarded()
		return r, err
	})
}

// Next implements loopback.Slot.
func (b *bench) Next([]byte) (*loopback.Job, bool) {
	if b.given {
		return nil, false
	}
	b.given = true
	return b.job, true
}

// Hold implements loopback.Slot.
func (b *bench) Hold([]byte) {}

// Sent implements transport.Notifier.
func (b *bench) Sent(error) {}

// Leave implements loopback.Slot.
func (b *bench) Leave() {}

// Submit implements loopback.Stage.
func (b *bench) Submit(job *loopback.Job, _ transport.Notifier) error {
	b.outcome = &Outcome{Stage: b.stage, Frames: job.Payload.Frames()}
	return nil
}

// Answer implements loopback.Answerer.
func (b *bench) Answer(a loopback.Answer, _ transport.Notifier) error {
	b.outcome = &Outcome{Response: a.Payload.(*pipeline.Response)}
	return nil
}
