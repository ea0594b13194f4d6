// Package pipelinetest calls a pipeline.Handler without sockets or goroutines
// of a pool, the way a pool would: with a job, and with panics and errors
// turned into what the client would see.
package pipelinetest

import (
	"context"
	"errors"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline"
)

// Outcome is what a handler made of a job. Either Stage and Frames are set, or
// Stage, Fan and Parts, or Response.
type Outcome struct {
	Stage    string        // where the job was forwarded, or its parts
	Frames   [][]byte      // what was forwarded
	Fan      *pipeline.Fan // how the job was scattered
	Parts    [][][]byte    // the frames of every part
	Response *pipeline.Response
	Stream   *Streamed // of an answer in parts: Response has all of their bytes
}

// Streamed is how an answer came in parts.
type Streamed struct {
	Parts  [][]byte // as they were written, those longer than 32 KiB in several
	Failed int      // the status that stands for what cut the stream; 0: it came to its end
}

// Call gives h one job of these frames, as a stage behind the first gets it,
// and returns what became of it. ctx is the parent of the handler's context: a
// test that ends it is a client that leaves, and then there is no outcome: nil.
func Call(ctx context.Context, h pipeline.Handler, frames ...[]byte) *Outcome {
	return call(ctx, h, wire.Frames(frames))
}

// Join gives h one job joined of parts, as the stage where they are joined gets
// it: with Frames, or with an Err, which is pipeline.ErrMissing or becomes what
// the handler of the part would have told the client.
func Join(ctx context.Context, h pipeline.Handler, parts ...pipeline.Part) *Outcome {
	joined := make(wire.Joined, len(parts))
	for i, p := range parts {
		joined[i] = wire.JoinedPart{Index: uint32(p.Index), Payload: wire.Frames(p.Frames)}
		var status *pipeline.StatusError
		switch {
		case p.Err == nil:
		case errors.Is(p.Err, pipeline.ErrMissing):
			joined[i].State, joined[i].Payload = wire.PartMissing, nil
		case errors.As(p.Err, &status):
			joined[i].State, joined[i].Code = wire.PartFailed, uint16(status.Status)
			joined[i].Payload = wire.Frames{[]byte(status.Message)}
		default:
			joined[i].State, joined[i].Code = wire.PartFailed, 500
			joined[i].Payload = wire.Frames{[]byte("internal error")}
		}
	}
	return call(ctx, h, joined)
}

// Do gives h one HTTP request, as the first stage gets it.
func Do(ctx context.Context, h pipeline.Handler, r *pipeline.Request) *Outcome {
	return call(ctx, h, r)
}

// Get gives h a GET request for target.
func Get(ctx context.Context, h pipeline.Handler, target string) *Outcome {
	return Do(ctx, h, httptext.NewRequest("GET", target, nil, nil))
}

// Post gives h a POST request for target with a body.
func Post(ctx context.Context, h pipeline.Handler, target, body string) *Outcome {
	return Do(ctx, h, httptext.NewRequest("POST", target, nil, []byte(body)))
}

// call runs a pool of one slot for one job.
func call(ctx context.Context, h pipeline.Handler, payload wire.Payload) *Outcome {
	b := &bench{job: &loopback.Job{
		Info:    wire.Info{ID: 1, Time: 1, Version: 1, Extended: true, Ext: wire.Ext{Instance: 1, Hops: 1}},
		Payload: payload,
	}}
	pool, err := pipeline.NewPool(pipeline.PoolConfig{
		Stage:    "test",
		Handler:  b.watch(h),
		Slots:    1,
		Slot:     func(int) loopback.Slot { return b },
		Next:     map[string]loopback.Stage{"": b},
		Loopback: b,
	})
	if err != nil {
		panic(err) // only a nil handler gets here
	}
	left := context.AfterFunc(ctx, func() { pool.Interrupt(b.job.Info.Key()) })
	defer left()
	_ = pool.Run(context.WithoutCancel(ctx))
	return b.outcome
}
