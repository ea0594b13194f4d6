// Package pipelinetest calls a pipeline.Handler without sockets or goroutines
// of a pool, the way a pool would: with a job, and with panics and errors
// turned into what the client would see.
package pipelinetest

import (
	"context"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline"
)

// Outcome is what a handler made of a job. Either Stage and Frames are set, or
// Response.
type Outcome struct {
	Stage    string   // where the job was forwarded
	Frames   [][]byte // what was forwarded
	Response *pipeline.Response
}

// Call gives h one job of these frames, as a stage behind the first gets it,
// and returns what became of it. ctx is the parent of the handler's context: a
// test that ends it is a client that leaves, and then there is no outcome: nil.
func Call(ctx context.Context, h pipeline.Handler, frames ...[]byte) *Outcome {
	return call(ctx, h, wire.Frames(frames))
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
