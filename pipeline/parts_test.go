package pipeline_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/pipelinetest"
)

func TestJobsThatHaveNoParts(t *testing.T) {
	handler := pipeline.HandlerFunc(func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
		_, err := job.Parts()
		return pipeline.Result{}, pipeline.Errorf(400, "%w", err)
	})
	o := pipelinetest.Call(t.Context(), handler, []byte("x"))
	assert.Equal(t, `pipeline: stage "test": wire: the job is not one whose parts were joined`, string(o.Response.Body))
}

// The bench for handlers shows what is scattered, and what a join makes of any
// kind of part.
func TestHandlersOfScatteredJobsCanBeTested(t *testing.T) {
	fan := pipeline.Fan{Stage: "work", Join: "sum", Width: 3, Timeout: time.Second}
	o := pipelinetest.Call(t.Context(), pipeline.HandlerFunc(func(context.Context, *pipeline.Job) (pipeline.Result, error) {
		return pipeline.ScatterFrames(fan, [][]byte{[]byte("a")}, [][]byte{[]byte("b"), []byte("c")}), nil
	}), []byte("x"))
	assert.Equal(t, &pipelinetest.Outcome{
		Stage: "work", Fan: &fan, Parts: [][][]byte{{[]byte("a")}, {[]byte("b"), []byte("c")}},
	}, o)
	o = pipelinetest.Call(t.Context(), pipeline.HandlerFunc(func(context.Context, *pipeline.Job) (pipeline.Result, error) {
		return pipeline.Scatter(fan), nil
	}), []byte("x"))
	assert.Equal(t, 500, o.Response.Status)

	var got []pipeline.Part
	join := pipeline.HandlerFunc(func(_ context.Context, job *pipeline.Job) (_ pipeline.Result, err error) {
		got, err = job.Parts()
		return pipeline.Text(200, ""), err
	})
	pipelinetest.Join(t.Context(), join,
		pipeline.Part{Index: 0, Frames: [][]byte{[]byte("a"), []byte("b")}},
		pipeline.Part{Index: 1, Err: pipeline.ErrMissing},
		pipeline.Part{Index: 2, Err: pipeline.Errorf(409, "taken")},
		pipeline.Part{Index: 4, Err: errors.New("secret")},
	)
	require.Len(t, got, 4)
	assert.Equal(t, pipeline.Part{Index: 0, Frames: [][]byte{[]byte("a"), []byte("b")}}, got[0])
	assert.Equal(t, "a", string(got[0].Bytes()))
	assert.ErrorIs(t, got[1].Err, pipeline.ErrMissing)
	assert.Nil(t, got[1].Bytes())
	var status *pipeline.StatusError
	require.ErrorAs(t, got[2].Err, &status)
	assert.Equal(t, 409, status.Status)
	assert.Equal(t, "taken", status.Message)
	assert.EqualError(t, got[3].Err, "500 internal error")
	assert.Equal(t, 4, got[3].Index)
}
