//go:build linux

package daemon_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A Go program that crashes exits with 2, like one that was called wrongly: it is
// started again all the same.
func TestAPartThatCrashesIsStartedAgain(t *testing.T) {
	dir := write(t)
	t.Setenv(asProgram, "1")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	up := execute(ctx, oneStage(crash), "up", "--run-dir", dir+"/run", dir+"/good.yaml")
	url := up.stdout.says(t, "url=")
	served := func() bool {
		status, body := fetch(t, url+"/")
		return status == 200 && body == "done"
	}
	ready := func() bool {
		status, _ := fetch(t, url+"/readyz")
		return status == 200
	}
	require.Eventually(t, ready, soon, tick)
	assert.True(t, served())
	for range 2 {
		status, body := fetch(t, url+"/crash")
		assert.Equal(t, 502, status, body)
		up.stdout.says(t, "panic: as it was told to\n")
		require.Eventually(t, ready, soon, tick)
		assert.True(t, served())
	}
	assert.Contains(t, up.stderr.String(), `program=workers:work reason="exit status 2" again_in=200ms`)
	assert.Contains(t, up.stderr.String(), `program=workers:work reason="exit status 2" again_in=400ms`)
	stop()
	assert.Zero(t, up.ends(t), up.stderr)
}
