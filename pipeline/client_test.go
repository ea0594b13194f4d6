package pipeline_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/butterfly-zmq/butterfly/pipeline"
)

// sluggish is a context whose end comes after its deadline, if ever: that of
// any context does when the machine is busy.
type sluggish struct {
	context.Context
	deadline time.Time
}

func (s sluggish) Deadline() (time.Time, bool) { return s.deadline, true }

// Whether the table or the context is the first to see that the deadline has
// passed is no business of the caller's.
func TestDoAtItsDeadline(t *testing.T) {
	release := make(chan struct{})
	r := run(t, 1, func(context.Context, *pipeline.Job) (pipeline.Result, error) {
		<-release // or it would answer 504 in time
		return pipeline.Text(200, ""), nil
	})
	defer close(release)
	past := time.Now().Add(-time.Second)
	expired, cancel := context.WithDeadline(t.Context(), past)
	defer cancel()
	patience := errors.New("out of patience")
	explained, cancel := context.WithDeadlineCause(t.Context(), past, patience)
	defer cancel()
	for name, ctx := range map[string]context.Context{
		"the table is first":   sluggish{t.Context(), time.Now().Add(time.Millisecond)},
		"the context is first": expired,
		"with a cause":         explained,
	} {
		_, err := r.client.Do(ctx, []byte("x"))
		assert.ErrorIs(t, err, context.DeadlineExceeded, name)
		if ctx == explained {
			assert.ErrorIs(t, err, patience)
		}
	}
	assert.Zero(t, r.table.Len())
}
