package pipelinetest

import (
	"context"
	"math"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline"
)

// bench is everything around a pool at once: the slot that gives one job, the
// next stage, and the loopback.
type bench struct {
	job     *loopback.Job
	given   bool
	result  pipeline.Result
	outcome *Outcome
}

// watch returns h, with its result written down.
func (b *bench) watch(h pipeline.Handler) pipeline.Handler {
	return pipeline.HandlerFunc(func(ctx context.Context, job *pipeline.Job) (pipeline.Result, error) {
		r, err := h.Handle(ctx, job)
		b.result = r
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

// Submit implements loopback.Stage. Of a scattered job it gets the parts one by
// one.
func (b *bench) Submit(job *loopback.Job, sent transport.Notifier) error {
	if f, _, ok := b.result.Scattered(); ok {
		if b.outcome == nil {
			b.outcome = &Outcome{Stage: f.Stage, Fan: &f}
		}
		b.outcome.Parts = append(b.outcome.Parts, job.Payload.Frames())
	} else {
		stage, _ := b.result.Forwarded()
		b.outcome = &Outcome{Stage: stage, Frames: job.Payload.Frames()}
	}
	sent.Sent(nil)
	return nil
}

// Answer implements loopback.Answerer. Of a streamed answer it gathers the parts.
func (b *bench) Answer(a loopback.Answer, _ transport.Notifier) error {
	if a.Info.Flags.Has(wire.Stream) {
		b.part(&a)
		return nil
	}
	b.outcome = &Outcome{Response: a.Payload.(*pipeline.Response)}
	return nil
}

func (b *bench) part(a *loopback.Answer) {
	o := b.outcome
	if a.Info.Part == 0 {
		r := a.Payload.(*httptext.Opening).Response
		first := r.Body
		r.Body = nil
		o = &Outcome{Response: r, Stream: &Streamed{}}
		b.outcome = o
		o.add(first)
		a.From.Credit(a.Info.Key(), math.MaxUint64)
	} else {
		o.add(a.Payload.Frames()[0])
	}
	if a.Info.Flags.Has(wire.StreamEnd) && a.Info.Part > 0 && a.Info.Code != 0 {
		o.Stream.Failed = int(a.Info.Code)
	}
}

func (o *Outcome) add(part []byte) {
	if len(part) > 0 {
		o.Stream.Parts = append(o.Stream.Parts, part)
		o.Response.Body = append(o.Response.Body, part...)
	}
}
