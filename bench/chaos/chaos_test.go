//go:build linux

package main

import (
	"encoding/json"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

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
		"more":              "no arguments expected",
		"--nothing":         "not defined: -nothing",
		"--time 0s":         "must be positive",
		"--clients 0":       "must be positive",
		"--seed x":          "invalid value",
		"--faults kill,eat": `there is no "eat"`,
		"--schemes ipc,udp": `"udp" is neither ipc nor tcp`,
	} {
		_, err := parse(strings.Fields(line), io.Discard)
		assert.ErrorContains(t, err, want, line)
	}
	var help strings.Builder
	_, err := parse([]string{"--help"}, &help)
	require.ErrorIs(t, err, flag.ErrHelp)
	assert.Contains(t, help.String(), "-seed")
	assert.NotZero(t, parsed(t, "").seed)
}

// some are targets of all kinds.
var some = []target{
	{"front-east", "front"}, {"front-west", "front"}, {"proxy-a", "proxy"}, {"proxy-b", "proxy"},
	{"workers-a", "workers"}, {"workers-b", "workers"}, {"programs", "programs"}, {"a.up", "relay"}, {"a.down", "relay"},
}

func TestASeedMakesOneScript(t *testing.T) {
	o := parsed(t, "--seed 7")
	assert.Equal(t, plan(o, "ipc", some), plan(o, "ipc", some))
	assert.NotEqual(t, plan(o, "ipc", some), plan(o, "tcp", some))
	assert.NotEqual(t, plan(o, "ipc", some), plan(parsed(t, "--seed 8"), "ipc", some))
}

func TestScriptsKeepTheirRules(t *testing.T) {
	for seed := range uint64(20) {
		o := parsed(t, "--time 3m")
		o.seed = seed
		script := plan(o, "tcp", some)
		require.Greater(t, len(script), 30)
		done := make(map[card]bool)
		for i, e := range script {
			done[card{e.target.kind, e.what}] = true
			require.Contains(t, possible[e.target.kind], e.what)
			require.LessOrEqual(t, e.at+e.length, o.time, "something is never undone")
			atOnce := 1
			for _, before := range script[:i] {
				if before.at+before.length <= e.at {
					continue
				}
				atOnce++
				require.LessOrEqual(t, before.at, e.at)
				require.NotEqual(t, before.target, e.target, "two things at once are done to it")
			}
			require.LessOrEqual(t, atOnce, o.atOnce)
		}
		for kind, actions := range possible {
			for _, a := range actions {
				require.True(t, done[card{kind, a}], "seed %d does no %s to %s", seed, a, kind)
			}
		}
	}
}

func TestAScriptOfSomeFaults(t *testing.T) {
	o := parsed(t, "--seed 3 --faults kill,reset --schemes tcp")
	assert.False(t, o.only(sudden...), "a reset loses what was on its way")
	script := plan(o, "tcp", some)
	require.NotEmpty(t, script)
	for _, e := range script {
		assert.Contains(t, o.faults, e.what)
	}
	assert.True(t, parsed(t, "--faults kill,term").only(sudden...))
	assert.False(t, parsed(t, "").only(sudden...))
}

func TestTheScriptIsShownAndNotDone(t *testing.T) {
	var out, progress strings.Builder
	require.NoError(t, run(t.Context(), parsed(t, "--script --seed 1 --time 20s --schemes tcp --python=false"), &out, &progress))
	assert.Empty(t, out.String())
	assert.Contains(t, progress.String(), "front-east")
}

// Whole deployments are put to the proof, for some seconds.
func TestAShortRun(t *testing.T) {
	if testing.Short() {
		t.Skip("starts some dozen processes and kills them for half a minute")
	}
	for name, flags := range map[string]string{
		"ipc":        "--timeout 4s --schemes ipc",
		"tcp":        "--timeout 4s --schemes tcp",
		"kills only": "--timeout 20s --schemes ipc --faults kill,term,program-kill",
		"in order":   "--timeout 20s --schemes tcp --faults term",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := parsed(t, "--time 5s --slack 4s --long 5s --gap 250ms --clients 2 --json "+flags)
			o.python = hasPython(t)
			var out, progress strings.Builder
			err := run(t.Context(), o, &out, &progress)
			if !assert.NoError(t, err) {
				t.Log(progress.String())
				t.Log(out.String())
			}
			var reports []report
			require.NoError(t, json.Unmarshal([]byte(out.String()), &reports))
			require.Len(t, reports, 1)
			r := reports[0]
			t.Log(r.text())
			for _, method := range []string{"GET", "POST"} {
				assert.Positive(t, r.Statuses[method][200], "%s answered", method) // how many is the machine's to say
			}
			assert.NotEmpty(t, r.Faults)
			assert.LessOrEqual(t, r.Longest, (o.timeout + o.slack).Seconds())
		})
	}
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

// A promise that is broken fails the run, and leaves the logs: a deadline that
// nobody can keep, and workers that do jobs twice.
func TestABrokenPromiseFailsTheRun(t *testing.T) {
	if testing.Short() {
		t.Skip("starts some dozen processes")
	}
	for want, plant := range map[string]func(*options){
		"BROKEN: late: ":   func(o *options) { o.slack = -o.timeout },
		"BROKEN: double: ": func(o *options) { o.plant = trial.Twice },
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			o := parsed(t, "--time 1s --timeout 4s --gap 10s --clients 1 --schemes ipc --python=false")
			plant(o)
			var out strings.Builder
			require.ErrorIs(t, run(t.Context(), o, &out, io.Discard), errBroken)
			assert.Contains(t, out.String(), want)
			_, kept, _ := strings.Cut(out.String(), "logs are in ")
			kept, _, _ = strings.Cut(kept, ";")
			assert.FileExists(t, filepath.Join(kept, "front-east.log"))
			require.NoError(t, os.RemoveAll(kept))
		})
	}
}

func TestPrintedReport(t *testing.T) {
	r := &report{
		Scheme: "ipc", Seed: 5, Requests: map[string]int{"GET": 3}, Statuses: map[string]map[int]int{"GET": {200: 2, 504: 1}},
		Longest: (1500 * time.Millisecond).Seconds(), Deadline: 5, Problems: []string{"lost: something"}, Lost: 1,
	}
	for _, want := range []string{"seed 5", "3 sent, answered 200: 2, 504: 1", "lost 1, double 0", "1.50 s of 5.00 s", "BROKEN: lost: something"} {
		assert.Contains(t, r.text(), want)
	}
}
