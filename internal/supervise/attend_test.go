//go:build unix

package supervise

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A program that is replaced finishes what it does, for longer than it would be
// given to stop, and its successor follows at once, with an environment of its own.
func TestAProgramThatIsReplacedMayFinish(t *testing.T) {
	open := filepath.Join(t.TempDir(), "open")
	runs := 0
	k, out, _ := keep(t, `trap 'echo asked' TERM; echo up $RUN; while [ ! -e `+open+` ]; do sleep 0.01; done; echo done; exit 1`, func(c *Config) {
		c.Grace, c.MinPause, c.MaxPause = time.Millisecond, time.Hour, time.Hour
		c.Fresh = func() []string {
			runs++
			return []string{"RUN=" + strconv.Itoa(runs)}
		}
	})
	out.wait(t, "up 1")
	replaced := make(chan error, 1)
	go func() { replaced <- k.Replace(context.Background()) }()
	out.wait(t, "asked")
	require.NoError(t, os.WriteFile(open, nil, 0o600))
	out.wait(t, "done")
	require.NoError(t, <-replaced)
	out.wait(t, "up 2")
}

func TestReplaceEndsWithItsContextAndWithRun(t *testing.T) {
	k, out, done := keep(t, `trap '' TERM; echo up; while :; do sleep 0.01; done`, func(c *Config) { c.Grace = time.Millisecond })
	out.wait(t, "up")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, k.Replace(ctx), context.DeadlineExceeded)
	require.NoError(t, k.Shutdown(t.Context()), "it is killed after its grace, as ever")
	require.NoError(t, <-done)
	require.NoError(t, k.Replace(t.Context()))
}

func TestASuccessorThatCannotBeStartedIsWaitedForWithPauses(t *testing.T) {
	at := filepath.Join(t.TempDir(), "once.sh")
	require.NoError(t, os.WriteFile(at, []byte("#!/bin/sh\nrm $0\necho up\nexec sleep 100\n"), 0o700))
	starts := make(chan struct{}, 1000)
	k, out, _ := keep(t, "", func(c *Config) {
		c.Command = []string{at}
		c.MinPause, c.MaxPause = time.Hour, time.Hour
		c.Fresh = func() []string { starts <- struct{}{}; return nil }
	})
	out.wait(t, "up")
	require.NoError(t, k.Replace(t.Context()))
	assert.Len(t, starts, 2)
}

// A program that hangs is told to abort, and killed if it does not.
func TestAProgramThatHangsIsAborted(t *testing.T) {
	for name, script := range map[string]string{
		"it says where": `trap 'echo here; exit 1' ABRT; echo up; while :; do sleep 0.01; done`,
		"it is stopped": `echo up; kill -STOP $$`,
	} {
		t.Run(name, func(t *testing.T) {
			pids := make(chan int, 100)
			k, out, _ := keep(t, script, func(c *Config) { c.Started = func(pid int) { pids <- pid } })
			out.wait(t, "up")
			first := <-pids
			k.Abort(first + 1) // somebody else
			require.Eventually(t, func() bool { return len(k.abort) == 0 }, 10*time.Second, time.Millisecond)
			k.Abort(first)
			if name == "it says where" {
				out.wait(t, "here")
			}
			second := <-pids
			assert.NotEqual(t, first, second)
			assert.True(t, gone(first))
			out.wait(t, "up")
		})
	}
}
