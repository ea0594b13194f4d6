//go:build linux

package main

import (
	"encoding/json"
	"flag"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/butterfly-zmq/butterfly/bench/internal/parts"
	"github.com/butterfly-zmq/butterfly/bench/internal/rig"
	"github.com/butterfly-zmq/butterfly/bench/internal/trial"
)

func TestMain(m *testing.M) {
	rig.PartMain() // the tests start this program as the parts
	goleak.VerifyTestMain(m)
}

func parsed(t *testing.T, line string) *options {
	t.Helper()
	o, err := parse(strings.Fields(line), io.Discard)
	require.NoError(t, err)
	return o
}

func TestMistakesOfTheCommandLine(t *testing.T) {
	for line, want := range map[string]string{
		"more":         "no arguments expected",
		"--nothing":    "not defined: -nothing",
		"--rounds 0":   "must be positive",
		"--wave -1s":   "must be positive",
		"--scheme udp": `"udp" is neither ipc nor tcp`,
	} {
		_, err := parse(strings.Fields(line), io.Discard)
		assert.ErrorContains(t, err, want, line)
	}
	var help strings.Builder
	_, err := parse([]string{"--help"}, &help)
	require.ErrorIs(t, err, flag.ErrHelp)
	assert.Contains(t, help.String(), "-rounds")
}

func TestExcess(t *testing.T) {
	idle := parts.Reading{Goroutines: 10, HeapMiB: 2, Descriptors: 20, ResidentMiB: 20}
	for _, c := range []struct {
		change  func(*parts.Reading)
		program bool
		want    string
	}{
		{func(*parts.Reading) {}, false, ""},
		{func(r *parts.Reading) { r.Goroutines += moreGoroutines }, false, ""},
		{func(r *parts.Reading) { r.Goroutines += moreGoroutines + 1 }, false, "x has 15 goroutines, when idle 10"},
		{func(r *parts.Reading) { r.Descriptors += moreDescriptors + 1 }, false, "x has 29 descriptors, when idle 20"},
		{func(r *parts.Reading) { r.HeapMiB += moreHeap + 1 }, false, "x has 7.0 MiB on its heap, when idle 2.0"},
		{func(r *parts.Reading) { r.ResidentMiB += moreResident + 1 }, false, ""},
		{func(r *parts.Reading) { r.ResidentMiB += moreResident + 1 }, true, "x has 37.0 MiB, when idle 20.0"},
	} {
		f := found{Name: "x", Program: c.program, Reading: idle}
		c.change(&f.Reading)
		assert.Equal(t, c.want, f.excess(idle))
	}
}

// All waves come once, each for a moment, and every process is as idle as before.
func TestAShortSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("starts some dozen processes and loads them for some seconds")
	}
	t.Parallel()
	o := parsed(t, "--rounds 1 --wave 500ms --together --json --clients 2")
	o.python = hasPython(t)
	var out, progress strings.Builder
	if err := run(t.Context(), o, &out, &progress); !assert.NoError(t, err) {
		t.Log(progress.String())
		t.Log(out.String())
	}
	var r report
	require.NoError(t, json.Unmarshal([]byte(out.String()), &r))
	for _, w := range waves {
		assert.Contains(t, progress.String(), w.name)
	}
	assert.Greater(t, r.Statuses["GET"][200], 50)
	assert.Positive(t, r.Statuses["GET"][503]+r.Statuses["POST"][503], "no overload")
	assert.Len(t, r.Now, len(r.Idle))
	require.NoError(t, r.print(&out, parsed(t, "")))
}

// A worker that leaves a goroutine behind with each job is found.
func TestALeakIsFound(t *testing.T) {
	if testing.Short() {
		t.Skip("starts some dozen processes and loads them for some seconds")
	}
	t.Parallel()
	o := parsed(t, "--rounds 1 --wave 200ms --together --python=false --settle 2s")
	o.plant = trial.Leak
	var out, progress strings.Builder
	require.ErrorIs(t, run(t.Context(), o, &out, &progress), errBroken)
	assert.Contains(t, out.String(), "BROKEN: leak: ")
	assert.Contains(t, progress.String(), "trial.(*workers).entry", "where the goroutines are")
}

// hasPython reports whether there is a Python with pyzmq; the environment may
// require it.
func hasPython(t *testing.T) bool {
	t.Helper()
	has := slices.ContainsFunc([]string{"python3", "/usr/bin/python3"}, func(python string) bool {
		return exec.Command(python, "-c", "import zmq").Run() == nil
	})
	if !has && os.Getenv("BUTTERFLY_REQUIRE_PEERS") == "1" {
		t.Fatal("python3-zmq missing, and BUTTERFLY_REQUIRE_PEERS=1 requires it")
	}
	return has
}
