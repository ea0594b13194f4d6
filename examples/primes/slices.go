package primes

import (
	"context"
	"time"

	"github.com/butterfly-zmq/butterfly/pipeline"
)

// DefaultSlice is how long a visit computes unless Slices says otherwise. A
// cheap job waits about as long behind dear ones; a turn through the stage's
// queue costs some microseconds, a thousandth of it.
const DefaultSlice = 2 * time.Millisecond

// Slices is the second stage in slices: each visit of a job divides for a
// while, then the job goes back to the end of its own stage's queue with the
// state of the division, so that many long jobs share the slots with short
// ones. The answers are those of Compute. The stage has to name itself as a
// next one. The zero value has the default.
type Slices struct {
	// Length is how long a visit computes; 0: DefaultSlice. It is looked at
	// every few thousand divisions, and a visit does that many at least: a job
	// gets on however short its slices are.
	Length time.Duration
}

// Handle implements pipeline.Handler.
func (s Slices) Handle(ctx context.Context, job *pipeline.Job) (pipeline.Result, error) {
	t, err := decodeTrial(job.Frames())
	if err != nil {
		return pipeline.Result{}, err
	}
	length := s.Length
	if length <= 0 {
		length = DefaultSlice
	}
	end := time.Now().Add(length)
	for {
		if prime, done := t.advance(stepsBetweenLooks); done {
			return answer(t.number, prime), nil
		}
		if err := ctx.Err(); err != nil {
			return pipeline.Result{}, err
		}
		if !time.Now().Before(end) {
			return pipeline.Forward(job.Stage(), t.encode()), nil
		}
	}
}
