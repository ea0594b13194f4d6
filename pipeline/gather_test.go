package pipeline_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/pipelinetest"
)

func TestGatherCallsTheJoinWithTheParts(t *testing.T) {
	called := 0
	join := pipeline.Gather(func(_ context.Context, job *pipeline.Job, parts []pipeline.Part) (pipeline.Result, error) {
		called++
		require.Len(t, parts, 2)
		return pipeline.Text(200, string(parts[1].Bytes())+string(parts[0].Bytes())), nil
	})
	part := func(i int, text string) pipeline.Part { return pipeline.Part{Index: i, Frames: [][]byte{[]byte(text)}} }

	joined := pipelinetest.Join(t.Context(), join, part(0, "b"), part(1, "a"))
	require.NotNil(t, joined.Response)
	assert.Equal(t, "ab", string(joined.Response.Body))

	alone := pipelinetest.Call(t.Context(), join, []byte("no parts"))
	require.NotNil(t, alone.Response)
	assert.Equal(t, 500, alone.Response.Status, "a job that was never scattered")
	assert.Equal(t, 1, called)
}
