//go:build unix

package supervise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tape collects lines and lets a test wait for one.
type tape struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
	news chan string
}

func newTape() *tape { return &tape{news: make(chan string, 1000)} }

func (p *tape) Write(line []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.news <- strings.TrimSuffix(string(line), "\n")
	return p.text.Write(line)
}

func (p *tape) wait(t *testing.T, line string) {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		select {
		case got := <-p.news:
			if got == line {
				return
			}
		case <-timeout:
			t.Fatalf("no line %q", line)
		}
	}
}

// keep runs a keeper of a shell script until the test ends.
func keep(t *testing.T, script string, change func(*Config)) (*Keeper, *tape, <-chan error) {
	t.Helper()
	out := newTape()
	cfg := Config{Name: "script", Command: []string{"sh", "-c", script}, Output: out, MinPause: time.Millisecond, MaxPause: 8 * time.Millisecond}
	if change != nil {
		change(&cfg)
	}
	k, err := New(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		err := k.Run(ctx)
		done <- err
		close(done)
	}()
	t.Cleanup(func() {
		cancel()
		<-k.done
	})
	return k, out, done
}

func TestAProgramThatEndsIsStartedAgain(t *testing.T) {
	pids := make(chan int, 100)
	_, out, _ := keep(t, `echo here; exit 3`, func(c *Config) { c.Started = func(pid int) { pids <- pid } })
	for range 3 {
		out.wait(t, "here")
	}
	assert.NotEqual(t, <-pids, <-pids)
}

func TestAProgramThatCannotBeStartedIsTriedAgain(t *testing.T) {
	at := filepath.Join(t.TempDir(), "late.sh")
	_, out, _ := keep(t, "", func(c *Config) { c.Command = []string{at} })
	require.NoError(t, os.WriteFile(at+".tmp", []byte("#!/bin/sh\necho arrived\nexec sleep 100\n"), 0o700))
	require.NoError(t, os.Rename(at+".tmp", at))
	out.wait(t, "arrived")
}

func TestShutdownAsksFirst(t *testing.T) {
	k, out, done := keep(t, `trap 'echo asked; exit 0' TERM; echo up; while :; do sleep 0.01; done`, nil)
	out.wait(t, "up")
	require.NoError(t, k.Shutdown(t.Context()))
	require.NoError(t, <-done)
	out.wait(t, "asked")
}

func TestWhoDoesNotEndIsKilledAndItsChildrenToo(t *testing.T) {
	k, out, _ := keep(t, `trap '' TERM; sh -c 'trap "" TERM; echo $$; while :; do sleep 0.01; done'`, func(c *Config) { c.Grace = 50 * time.Millisecond })
	pid := 0
	_, err := fmt.Sscan(<-out.news, &pid)
	require.NoError(t, err)
	require.NoError(t, k.Shutdown(t.Context()))
	assert.Eventually(t, func() bool { return gone(pid) }, 5*time.Second, 5*time.Millisecond)
}

// gone reports whether the process has ended; a zombie has.
func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(stat), ") Z ")
}

func TestTheEndOfTheContextKills(t *testing.T) {
	out := newTape()
	k, err := New(Config{Name: "script", Command: []string{"sh", "-c", `trap '' TERM; echo up; while :; do sleep 0.01; done`}, Output: out})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	out.wait(t, "up")
	cancel()
	require.NoError(t, <-done)
}

func TestAFinalCodeEndsTheTrying(t *testing.T) {
	_, _, done := keep(t, `exit 2`, func(c *Config) { c.Final = func(code int, _ time.Duration) bool { return code == 2 } })
	var final *FinalError
	require.ErrorAs(t, <-done, &final)
	assert.Equal(t, 2, final.Code)
}

func TestShutdownDuringAPauseReturnsAtOnce(t *testing.T) {
	k, out, done := keep(t, `echo here`, func(c *Config) { c.MinPause, c.MaxPause = time.Hour, time.Hour })
	out.wait(t, "here")
	require.NoError(t, k.Shutdown(t.Context()))
	require.NoError(t, <-done)
}

func TestShutdownBeforeRunStartsNothing(t *testing.T) {
	k, err := New(Config{Name: "x", Command: []string{"true"}, Started: func(int) { t.Error("it was started") }})
	require.NoError(t, err)
	require.NoError(t, k.Shutdown(t.Context()))
	require.NoError(t, k.Run(t.Context()))
	require.NoError(t, k.Shutdown(t.Context()), "a second one has nothing to do")
	require.Error(t, k.Run(t.Context()), "it runs once")
}

func TestShutdownGivesUpWithItsContext(t *testing.T) {
	k, out, done := keep(t, `trap '' TERM; echo up; while :; do sleep 0.01; done`, nil)
	out.wait(t, "up")
	gone := errors.New("no time")
	grace, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	require.ErrorIs(t, k.Shutdown(grace), gone)
	select {
	case <-done:
		t.Error("nothing has told it to end hard")
	default:
	}
}

func TestTheEndOfTheContextEndsAPause(t *testing.T) {
	out := newTape()
	k, err := New(Config{Name: "script", Command: []string{"sh", "-c", "echo here"}, Output: out, MinPause: time.Hour})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	out.wait(t, "here")
	cancel()
	require.NoError(t, <-done)
}

// A program that has left a child behind, which holds its output open, counts
// as ended, and the child does not outlive it.
func TestTheChildOfAProgramThatEndedIsKilled(t *testing.T) {
	_, out, _ := keep(t, `sleep 1000 & echo $!; exit 3`, nil)
	pid := 0
	_, err := fmt.Sscan(<-out.news, &pid)
	require.NoError(t, err)
	assert.Eventually(t, func() bool { return gone(pid) }, 5*time.Second, 5*time.Millisecond)
	assert.NotEmpty(t, <-out.news, "it is started again")
}

func TestOtherCodesAreNotFinal(t *testing.T) {
	_, out, done := keep(t, `echo here; exit 1`, func(c *Config) { c.Final = func(code int, _ time.Duration) bool { return code == 2 } })
	out.wait(t, "here")
	out.wait(t, "here")
	select {
	case err := <-done:
		t.Errorf("it was given up: %v", err)
	default:
	}
}

func TestTheEnvironmentIsAddedTo(t *testing.T) {
	t.Setenv("SUPERVISE_A", "ours")
	t.Setenv("SUPERVISE_B", "ours")
	_, out, _ := keep(t, `printf "$SUPERVISE_A $SUPERVISE_B"`, func(c *Config) { c.Env = []string{"SUPERVISE_B=its own"} })
	out.wait(t, "ours its own")
}

// Whoever does not want the output is not asked for it, and stderr goes where
// stdout goes.
func TestOutputs(t *testing.T) {
	_, out, _ := keep(t, `echo one; echo two >&2`, nil)
	out.wait(t, "one")
	out.wait(t, "two")
	started := make(chan int, 1000)
	keep(t, `echo one; echo two >&2`, func(c *Config) {
		c.Output = nil
		c.Started = func(pid int) { started <- pid }
	})
	<-started
	<-started
}

func TestPausesGrowAndShrinkAgain(t *testing.T) {
	k, err := New(Config{Name: "x", Command: []string{"true"}, MinPause: 10, MaxPause: 70})
	require.NoError(t, err)
	var pauses []time.Duration
	pause := time.Duration(0)
	for _, ran := range []time.Duration{0, 0, 0, 0, 0, 70, 0} {
		pause = k.nextPause(pause, ran)
		pauses = append(pauses, pause)
	}
	assert.Equal(t, []time.Duration{10, 20, 40, 70, 70, 10, 20}, pauses)
}

func TestNewRefusesNonsense(t *testing.T) {
	for _, cfg := range []Config{{}, {Command: []string{""}}, {Command: []string{"x"}, MinPause: -1}, {Command: []string{"x"}, Grace: -1}} {
		_, err := New(cfg)
		assert.Error(t, err)
	}
}

func TestOutputIsCutIntoLines(t *testing.T) {
	var got []string
	l := lines{to: writer(func(p []byte) { got = append(got, string(p)) })}
	for _, p := range []string{"a", "b\nc\n\n", strings.Repeat("x", maxLine+1), "\nlast"} {
		n, err := l.Write([]byte(p))
		require.NoError(t, err)
		assert.Equal(t, len(p), n)
	}
	l.end()
	assert.Equal(t, []string{"ab\n", "c\n", "\n", strings.Repeat("x", maxLine) + "\n", "x\n", "last\n"}, got)
}

type writer func(p []byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

func TestPrefixesKeepLinesApart(t *testing.T) {
	var b bytes.Buffer
	of := Prefixes(&b)
	_, _ = of("a | ").Write([]byte("one\n"))
	_, _ = of("b | ").Write([]byte("two\n"))
	assert.Equal(t, "a | one\nb | two\n", b.String())
}
