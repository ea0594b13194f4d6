package pipeline_test

import (
	"context"
	"iter"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/pipeline"
)

// numbers yields n jobs that hold their number.
func numbers(n int) iter.Seq[[][]byte] {
	return func(yield func([][]byte) bool) {
		for i := range n {
			if !yield([][]byte{[]byte(strconv.Itoa(i))}) {
				return
			}
		}
	}
}

func TestBatchYieldsEveryOutcomeOnce(t *testing.T) {
	var running, most atomic.Int32
	r := run(t, 16, func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
		defer running.Add(-1)
		for now := running.Add(1); ; {
			if m := most.Load(); now <= m || most.CompareAndSwap(m, now) {
				break
			}
		}
		n, err := strconv.Atoi(string(job.Bytes()))
		if err != nil {
			return pipeline.Result{}, err
		}
		return pipeline.Text(200+n%2, strconv.Itoa(n*n)), nil
	})
	seen := map[int]bool{}
	for n, o := range r.client.Batch(t.Context(), 3, numbers(500)) {
		require.NoError(t, o.Err)
		response, err := o.Answer.Response()
		require.NoError(t, err)
		assert.Equal(t, strconv.Itoa(n*n), string(response.Body))
		assert.False(t, seen[n])
		seen[n] = true
	}
	assert.Len(t, seen, 500)
	assert.LessOrEqual(t, most.Load(), int32(3))
	assert.EqualValues(t, 500, r.pool.Stats().Jobs)
}

func TestBatchLeftEarlyInterruptsWhatIsOpen(t *testing.T) {
	r := run(t, 4, func(ctx context.Context, job *pipeline.Job) (pipeline.Result, error) {
		if string(job.Bytes()) == "0" {
			return pipeline.Text(200, ""), nil
		}
		<-ctx.Done()
		return pipeline.Result{}, ctx.Err()
	})
	for n, o := range r.client.Batch(t.Context(), 4, numbers(100)) {
		require.NoError(t, o.Err)
		assert.Zero(t, n)
		break
	}
	assert.Zero(t, r.table.Len())
}

func TestJobsNeedFrames(t *testing.T) {
	r := run(t, 1, func(context.Context, *pipeline.Job) (pipeline.Result, error) { return pipeline.Text(200, ""), nil })
	_, err := r.client.Do(t.Context())
	assert.ErrorContains(t, err, "at least one frame")
}

func BenchmarkClientDo(b *testing.B) {
	r := runBench(b)
	job := []byte("x")
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := r.Do(b.Context(), job); err != nil {
				b.Fatal(err)
			}
		}
	})
}
