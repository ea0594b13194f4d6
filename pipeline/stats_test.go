package pipeline_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/pipeline"
)

func TestOldestIsTheLongestOfTheRunningHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := run(t, 2, func(context.Context, *pipeline.Job) (pipeline.Result, error) {
			<-release
			return pipeline.Text(200, "done"), nil
		})
		assert.Zero(t, r.pool.Stats().Oldest)
		done := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := r.client.Do(t.Context(), []byte("GET / HTTP/1.1\r\n\r\n"))
				done <- err
			}()
			synctest.Wait()
			time.Sleep(time.Second)
		}
		assert.Equal(t, 2*time.Second, r.pool.Stats().Oldest)
		close(release)
		require.NoError(t, <-done)
		require.NoError(t, <-done)
		stats := r.pool.Stats()
		assert.Zero(t, stats.Oldest)
		assert.Equal(t, 3*time.Second, stats.Busy)
	})
}
