//go:build linux

package parts

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

const soon = 20 * time.Second

func TestMain(m *testing.M) {
	if dir := os.Getenv("PARTS_TEST_PROBE"); dir != "" {
		if err := ServeProbe(dir); err != nil {
			os.Exit(1)
		}
		_, _ = os.Stdout.WriteString("serving\n")
		_, _ = io.Copy(io.Discard, os.Stdin)
		select {}
	}
	goleak.VerifyTestMain(m)
}

// script is a part that is a shell script, killed at the end of the test.
func script(t *testing.T, text string) (*Part, <-chan *DiedError) {
	t.Helper()
	died := make(chan *DiedError, 10)
	p := &Part{
		Name: "script", Command: []string{"sh", "-c", text}, Log: filepath.Join(t.TempDir(), "log"),
		Died: func(e *DiedError) { died <- e },
	}
	require.NoError(t, p.Start())
	t.Cleanup(p.Kill)
	return p, died
}

func printed(t *testing.T, p *Part, text string) {
	t.Helper()
	require.Eventually(t, func() bool { return p.Tail(1000) == text }, soon, time.Millisecond)
}

func TestAPartIsKilledAndStartedAgain(t *testing.T) {
	p, died := script(t, "echo up; exec sleep 1000")
	printed(t, p, "up\n")
	first := p.PID()
	p.Kill()
	assert.False(t, p.Running())
	p.Kill() // again
	require.NoError(t, p.Start())
	printed(t, p, "up\nup\n")
	assert.NotEqual(t, first, p.PID())
	assert.Empty(t, died, "it was told to")
}

func TestAPartThatEndsByItselfIsTold(t *testing.T) {
	_, died := script(t, "exit 3")
	assert.ErrorContains(t, <-died, "script ended by itself: exit status 3")
}

func TestTerminateTellsHowItEnded(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want any
	}{
		"well":        {`trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done`, nil},
		"with a code": {`trap 'exit 3' TERM; echo up; while :; do sleep 0.01; done`, new(*CodeError)},
		"too early":   {`echo up; exec sleep 1000`, nil},
		"not at all":  {`trap '' TERM QUIT; echo up; while :; do sleep 0.01; done`, new(*StuckError)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, died := script(t, c.text)
			printed(t, p, "up\n")
			limit := soon
			if name == "not at all" {
				limit = 50 * time.Millisecond
			}
			err := p.Terminate(limit)
			if c.want == nil {
				assert.NoError(t, err)
			} else {
				assert.ErrorAs(t, err, c.want)
			}
			assert.False(t, p.Running())
			assert.Empty(t, died)
		})
	}
}

func TestChildrenAreThePartsOwn(t *testing.T) {
	p, _ := script(t, "sleep 1000 & sleep 1000 & echo up; wait")
	printed(t, p, "up\n")
	assert.NotEmpty(t, Running("sleep 1000 & sleep 1000 & echo up; wait"))
	children := p.Children()
	require.Len(t, children, 2)
	assert.Equal(t, p.PID(), parentOf(children[0].PID))
	for _, c := range children {
		c.Signal(syscall.SIGKILL)
		require.Eventually(t, func() bool { return parentOf(c.PID) == 0 }, soon, time.Millisecond)
		c.Signal(syscall.SIGKILL) // nobody is hit
		c.Release()
	}
	p.Kill()
	assert.Empty(t, p.Children())
	assert.Empty(t, Running("sleep 1000 & sleep 1000 & echo up; wait"))
}

func TestProbe(t *testing.T) {
	dir, err := os.MkdirTemp("", "bfp")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	self, err := os.Executable()
	require.NoError(t, err)
	p := &Part{Name: "probed", Command: []string{self}, Env: []string{"PARTS_TEST_PROBE=" + dir}, Log: filepath.Join(dir, "log")}
	require.NoError(t, p.Start())
	t.Cleanup(p.Kill)
	printed(t, p, "serving\n")
	r, stacks, err := p.Read(dir)
	require.NoError(t, err)
	assert.Positive(t, r.Goroutines)
	assert.Positive(t, r.HeapMiB)
	assert.Greater(t, r.Descriptors, 3)
	assert.Positive(t, r.Threads)
	assert.Positive(t, r.ResidentMiB)
	assert.Contains(t, stacks, "ServeProbe")
}
