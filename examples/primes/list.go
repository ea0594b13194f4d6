package primes

import (
	"context"
	"strconv"
	"strings"

	"github.com/butterfly-zmq/butterfly/pipeline"
)

const badList = "list primes like this: /primes?from=1000&to=2000, both of which may be missing"

// List answers GET /primes?from=N&to=M with the primes from N to M, each as soon
// as it is found: as lines of text, or, to a client that accepts
// text/event-stream, as events, of which one that comes back is told those
// behind the last it has seen. Without to there is no end to them.
func List(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
	r, err := job.Request()
	if err != nil {
		return pipeline.Result{}, err
	}
	from, err := bound(r, "from", 2)
	if err != nil {
		return pipeline.Result{}, err
	}
	to, err := bound(r, "to", Composite-1)
	if err != nil {
		return pipeline.Result{}, err
	}
	if !strings.Contains(r.Header().Get("Accept"), "text/event-stream") {
		return pipeline.Stream(&pipeline.Response{Header: pipeline.Header{{Name: "Content-Type", Value: "text/plain"}}},
			func(ctx context.Context, w *pipeline.StreamWriter) error {
				return each(ctx, from, to, func(prime string) error {
					_, err := w.WriteString(prime + "\n")
					return err
				})
			}), nil
	}
	if last, err := strconv.ParseUint(r.Header().Get("Last-Event-ID"), 10, 64); err == nil && last < Composite-1 {
		from = max(from, last+1)
	}
	return pipeline.Events(func(ctx context.Context, w *pipeline.EventWriter) error {
		return each(ctx, from, to, func(prime string) error {
			return w.Send(pipeline.Event{ID: prime, Name: "prime", Data: prime})
		})
	}), nil
}

// bound reads a number of the query.
func bound(r *pipeline.Request, name string, standard uint64) (uint64, error) {
	text, ok := r.Query(name)
	if !ok {
		return standard, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n >= Composite {
		return 0, pipeline.Errorf(400, badList)
	}
	return n, nil
}

// each calls found with the primes from from to to.
func each(ctx context.Context, from, to uint64, found func(string) error) error {
	for n := max(from, 2); n <= to; n++ {
		prime, err := IsPrime(ctx, n)
		if err == nil && prime {
			err = found(strconv.FormatUint(n, 10))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
