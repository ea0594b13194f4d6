package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// play is what the test program does as a child of the tests.
func play(role string) {
	switch role {
	case "fail":
		fmt.Println("out of luck")
		os.Exit(3)
	case "collect":
		runtime.GC()
		waitForPipe()
	case "wait": // ends by the default of SIGTERM, or when its input does
		waitForPipe()
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("deaf")
		waitForPipe()
	case "parent": // starts a child that holds this program's output open
		cmd := as("wait")
		cmd.ExtraFiles = []*os.File{os.Stdout}
		cmd.Stdin = os.Stdin
		if _, err := start("child", os.DevNull, cmd); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("started")
		waitForPipe()
	}
}

func waitForPipe() { _, _ = io.Copy(io.Discard, os.Stdin) }

// as makes a command of the test program in a role.
func as(role string) *exec.Cmd {
	program, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	return cmd
}

// launch starts a child that lives until it is stopped, at most for the test.
func launch(t *testing.T, role string, env ...string) *process {
	cmd := as(role)
	cmd.Env = append(cmd.Env, env...)
	input, hold, err := os.Pipe()
	require.NoError(t, err)
	cmd.Stdin = input
	p, err := start(role, filepath.Join(t.TempDir(), "log"), cmd)
	require.NoError(t, err)
	t.Cleanup(func() {
		p.stop(time.Minute)
		_, _ = hold.Close(), input.Close()
	})
	return p
}

// logs waits until a process has logged text.
func logs(t *testing.T, p *process, text string) {
	require.Eventually(t, func() bool { return strings.Contains(p.tail(), text) }, 10*time.Second, time.Millisecond)
}

func TestAProcessThatEndsTellsWhatItPrinted(t *testing.T) {
	p := launch(t, "fail")
	<-p.ended
	err := p.running()
	assert.True(t, died(err))
	assert.ErrorContains(t, err, "exit status 3\nout of luck")
}

func TestStopEndsAProcessAndMayBeRepeated(t *testing.T) {
	p := launch(t, "wait")
	assert.NoError(t, p.running())
	p.stop(time.Minute)
	assert.True(t, died(p.running()))
	p.stop(time.Minute)
}

func TestStopKillsWhatDoesNotListen(t *testing.T) {
	p := launch(t, "stubborn")
	logs(t, p, "deaf")
	p.stop(time.Millisecond)
	assert.True(t, died(p.running()))
}

func TestAMissingProgramIsToldByName(t *testing.T) {
	_, err := start("ghost", filepath.Join(t.TempDir(), "log"), exec.Command(filepath.Join(t.TempDir(), "none")))
	assert.ErrorContains(t, err, "start ghost")
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestAwaitDoesNotWaitForTheDead(t *testing.T) {
	p := launch(t, "fail")
	address, err := freeAddress()
	require.NoError(t, err)
	d := &deployment{base: "http://" + address, processes: []*process{p}}
	assert.True(t, died(d.await(t.Context())))
}

func TestHeapIsReadFromTheRuntimesOwnTrace(t *testing.T) {
	p := launch(t, "collect", "GODEBUG=gctrace=1")
	logs(t, p, " MB,")
	left, err := heapMiB(p.log)
	require.NoError(t, err)
	assert.Less(t, left, int64(16))

	made := filepath.Join(t.TempDir(), "log")
	trace := "gc %d @0.1s 0%%: 0.01+0.5+0.02 ms clock, 0+0/0.1/0+0.1 ms cpu, 4->5->%d MB, 9 MB goal, 0 MB stacks, 0 MB globals, 2 P\n"
	text := fmt.Sprintf("level=INFO msg=\"a->b->9 MB,\"\n"+trace+"between\n"+trace, 1, 7, 2, 3)
	require.NoError(t, os.WriteFile(made, []byte(text), 0o600))
	left, err = heapMiB(made)
	require.NoError(t, err)
	assert.EqualValues(t, 3, left)
}
