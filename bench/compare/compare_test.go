package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// roleVariable makes the test program play one of the processes that the tests
// start: see play.
const roleVariable = "BUTTERFLY_COMPARE_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		play(role)
		return
	}
	goleak.VerifyTestMain(m)
}

// quick parses a command line for as little measuring as there can be.
func quick(t *testing.T, line string) *options {
	o, err := parse(strings.Fields("--only bare --rounds 1 --duration 50ms --warmup 0s "+line), io.Discard)
	require.NoError(t, err)
	return o
}

func TestMistakesOfTheCommandLine(t *testing.T) {
	for line, want := range map[string]string{
		"primes":       "no arguments expected",
		"--nothing":    "not defined: -nothing",
		"--rounds 0":   errFlags.Error(),
		"--steps 2":    errFlags.Error(),
		"--requests 5": errFlags.Error(),
	} {
		_, err := parse(strings.Fields(line), io.Discard)
		assert.ErrorContains(t, err, want, line)
	}
	assert.ErrorContains(t, run(t.Context(), quick(t, "--only nobody"), io.Discard, io.Discard), `no contestant's name contains "nobody"`)
}

func TestSpeedOfTheBareContestants(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs")
	}
	t.Setenv("TMPDIR", t.TempDir())
	var out strings.Builder
	require.NoError(t, run(t.Context(), quick(t, "--json --check"), &out, io.Discard))
	var results []result
	require.NoError(t, json.Unmarshal([]byte(out.String()), &results))
	require.Len(t, results, 2)
	for _, r := range results {
		assert.Positive(t, r.PerSecond)
		assert.Positive(t, r.P99)
	}
	left, err := filepath.Glob(filepath.Join(os.TempDir(), "bfly*"))
	require.NoError(t, err)
	assert.Empty(t, left, "the run's directory is gone")
}

func TestMemoryOfABareContestant(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs")
	}
	if _, err := residentKiB(os.Getpid()); err != nil {
		t.Skip(err)
	}
	var out strings.Builder
	require.NoError(t, run(t.Context(), quick(t, "--only echo --memory --requests 300 --steps 3 --json"), &out, io.Discard))
	var prints []footprint
	require.NoError(t, json.Unmarshal([]byte(out.String()), &prints))
	for _, f := range prints {
		assert.Len(t, f.Resident, 3)
		assert.Greater(t, f.Resident[0], int64(1000), "%s", f.Process)
	}
}

func TestEveryContestantIsMeasuredAgainstABareOneBeforeIt(t *testing.T) {
	seen := map[string]contestant{}
	for _, c := range contest() {
		if c.bare != "" {
			require.Contains(t, seen, c.bare)
			assert.Equal(t, seen[c.bare].work, c.work, "the same job")
			assert.Positive(t, c.target)
		}
		seen[c.name] = c
	}
}

func TestChooseKeepsTheBareOneForComparison(t *testing.T) {
	chosen, err := choose(contest(), "two stages")
	require.NoError(t, err)
	require.Len(t, chosen, 2)
	assert.Equal(t, "bare primes", chosen[0].name)
	assert.Equal(t, []string{loadProgram, bareProgram, serverd}, needed(chosen))
}

func TestTwoStagesCommandLines(t *testing.T) {
	var lines []string
	for _, p := range twoStages(place{address: "127.0.0.1:9", sockets: "/d", slots: 8}) {
		lines = append(lines, fmt.Sprintf("%s: %s", p.name, strings.Join(p.args, " ")))
	}
	const front = " --loopback ipc:///d/loop --interrupt ipc:///d/intr"
	assert.Equal(t, []string{
		"front: front --listen tcp://127.0.0.1:9 --ready /readyz --proxy ipc:///d/parse.up" + front,
		"proxy parse: proxy --upstream ipc:///d/parse.up --downstream ipc:///d/parse.down" + front,
		"proxy compute: proxy --upstream ipc:///d/compute.up --downstream ipc:///d/compute.down" + front,
		"worker parse: worker primes.parse --upstream-proxy ipc:///d/parse.down" + front + " --count 8 --downstream-proxy ipc:///d/compute.up",
		"worker compute: worker primes.compute --upstream-proxy ipc:///d/compute.down" + front + " --count 8",
	}, lines)
}
