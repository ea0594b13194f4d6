//go:build unix

package daemon_test

import (
	"context"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/pipeline"
)

// A SIGTERM finds the demo with a job under way whose client has left: the
// front has nothing to wait for, the stage has. That is no failure.
func TestTheDemoEndsWithExitCode0OnSIGTERM(t *testing.T) {
	running, left, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	demo := execute(t.Context(), oneStage(func(ctx context.Context, _ *pipeline.Job) (pipeline.Result, error) {
		close(running)
		<-ctx.Done()
		close(left)
		<-done
		return pipeline.Result{}, ctx.Err()
	}), "--listen", "127.0.0.1:0", "--workers", "1")
	conn, err := net.Dial("tcp", demo.stderr.says(t, "url=http://"))
	require.NoError(t, err)
	_, err = conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	require.NoError(t, err)
	<-running
	require.NoError(t, conn.Close())
	<-left

	require.NoError(t, syscall.Kill(syscall.Getpid(), syscall.SIGTERM))
	demo.stderr.says(t, "msg=draining")
	// The job's length, not a wait for anything: long enough for the front to
	// have ended, whose end is not the demo's.
	time.AfterFunc(300*time.Millisecond, func() { close(done) })
	assert.Zero(t, demo.ends(t), demo.stderr)
	select {
	case <-done:
	default:
		assert.Fail(t, "the demo did not wait for its job")
	}
	assert.NotContains(t, demo.stderr.String(), "not drained")
}
