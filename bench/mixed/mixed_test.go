package main

import (
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/butterfly-zmq/butterfly/bench/internal/httpload"
	"github.com/butterfly-zmq/butterfly/bench/internal/latency"
	"github.com/butterfly-zmq/butterfly/bench/internal/ticks"
)

func TestMain(m *testing.M) {
	if slices.Contains(os.Args, "--serve") {
		main() // the tests start this program as its own servers
		return
	}
	goleak.VerifyTestMain(m)
}

func parsed(t *testing.T, line string) *options {
	o, err := parse(strings.Fields(line), io.Discard)
	require.NoError(t, err)
	return o
}

func TestMistakesOfTheCommandLine(t *testing.T) {
	for line, want := range map[string]string{
		"primes":          "no arguments expected",
		"--nothing":       "not defined: -nothing",
		"--rounds 0":      errFlags.Error(),
		"--heavy-rate 0":  errFlags.Error(),
		"--slice 0s":      errFlags.Error(),
		"--cheap 3.5":     "invalid value",
		"--warmup -1s":    "must not be negative",
		"--serve compute": `there is no server "compute"`,
	} {
		_, err := parse(strings.Fields(line), io.Discard)
		assert.ErrorContains(t, err, want, line)
	}
	var help strings.Builder
	_, err := parse([]string{"--help"}, &help)
	require.ErrorIs(t, err, flag.ErrHelp)
	assert.Contains(t, help.String(), "-heavy-rate")
}

// A whole run, too short for its figures to say anything.
func TestAShortRun(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers and loads them for some seconds")
	}
	var out strings.Builder
	o := parsed(t, "--rounds 1 --duration 1s --warmup 100ms --heavy 1000000007 --workers 1 --slice 100us --json")
	require.NoError(t, run(t.Context(), o, &out, io.Discard))
	var got struct {
		Results []result
		Verdict verdict
	}
	require.NoError(t, json.Unmarshal([]byte(out.String()), &got))
	require.Len(t, got.Results, 3)
	for i, r := range got.Results {
		assert.Equal(t, order[i], r.Name)
		assert.Greater(t, r.Cheap.PerSecond, r.Heavy.PerSecond)
		assert.Positive(t, r.Heavy.PerSecond)
		assert.Positive(t, r.Cheap.Latency.P50)
		assert.Len(t, r.Heavy.P99, 1)
	}
}

func TestAServerThatDoesNotStartTellsWhy(t *testing.T) {
	_, err := start(t.Context(), "nothing", parsed(t, ""))
	assert.ErrorContains(t, err, `start nothing: it ended: mixed: --serve: there is no server "nothing"`)
}

func TestServersEndWithTheirInput(t *testing.T) {
	for _, kind := range order {
		s, err := start(t.Context(), kind, parsed(t, ""))
		require.NoError(t, err)
		require.NoError(t, s.input.Close(), "as the kernel does when this program is killed")
		select {
		case <-s.ended:
		case <-time.After(stopWithin):
			assert.Fail(t, "it goes on", kind)
		}
		s.stop()
		assert.True(t, s.cmd.ProcessState.Exited(), kind)
		assert.Zero(t, s.cmd.ProcessState.ExitCode(), "%s: %s", kind, s.output.String())
	}
}

func TestTheBareHandlerAnswersAsThePipelinesDo(t *testing.T) {
	for target, want := range map[string]string{
		"/is_prime?possible_prime=3":          "200 3",
		"/is_prime?possible_prime=4":          "200 18446744073709551615",
		"/is_prime?possible_prime=1000000007": "200 1000000007",
	} {
		w := httptest.NewRecorder()
		bare(w, httptest.NewRequest(http.MethodGet, target, nil))
		assert.Equal(t, want, strings.Fields(w.Result().Status)[0]+" "+w.Body.String(), target)
	}
	w := httptest.NewRecorder()
	bare(w, httptest.NewRequest(http.MethodGet, "/is_prime", nil))
	assert.Equal(t, 400, w.Code)
}

// report has latencies of so many milliseconds, one a request.
func report(perSecond float64, latencies ...int) *httpload.Report {
	r := &httpload.Report{PerSecond: perSecond, Seconds: 10, Measured: new(latency.Histogram)}
	for _, ms := range latencies {
		r.Measured.Record(time.Duration(ms) * time.Millisecond)
	}
	r.Latency = httpload.Percentiles(r.Measured)
	return r
}

func TestRoundsArePutTogether(t *testing.T) {
	waiting := report(19, 100)
	waiting.Waited, waiting.Unsent = 2, 1
	r := summarize("sliced", []sample{
		{report(380, 1, 1, 1), report(21, 20), 0.02},
		{report(382, 5), waiting, ticks.Unknown},
	})
	assert.Equal(t, "sliced", r.Name)
	assert.InDelta(t, 381, r.Cheap.PerSecond, 1e-9)
	assert.InDelta(t, 20, r.Heavy.PerSecond, 1e-9)
	assert.InEpsilon(t, 1e3, r.Cheap.Latency.P50, 0.02, "of all four")
	assert.InEpsilon(t, 5e3, r.Cheap.Latency.P99, 0.02)
	assert.InEpsilon(t, 100e3, r.Heavy.Latency.Max, 0.02)
	assert.Len(t, r.Cheap.P99, 2)
	assert.EqualValues(t, 2, r.Heavy.Waited)
	assert.EqualValues(t, 1, r.Heavy.Unsent)
	assert.InDelta(t, 0.02, r.Others, 1e-9)
}

func TestTheVerdictIsOnTheSlicedPipeline(t *testing.T) {
	of := func(name string, p99, cheap, heavy float64) result {
		return result{
			Name:  name,
			Cheap: figures{PerSecond: cheap, Latency: httpload.Latencies{P99: p99}, P99: []float64{p99}},
			Heavy: figures{PerSecond: heavy, P99: []float64{1}},
		}
	}
	for _, c := range []struct {
		p99, cheap, heavy float64
		missed            []string
	}{
		{8e3, 380, 20, nil},
		{1e3, 342, 18, nil},
		{1e3, 418, 22, nil},
		{8.1e3, 380, 20, []string{"cheap p99 8.10 ms, at most 8"}},
		{1e3, 300, 20, []string{"cheap 300.00/s, within 10 % of 380.00"}},
		{1e3, 380, 17, []string{"heavy 17.00/s, within 10 % of 20.00"}},
		{1e3, 380, 23, []string{"heavy 23.00/s, within 10 % of 20.00"}},
	} {
		results := []result{of("bare", 1, 1, 1), of("unsliced", 99e3, 380, 20), of("sliced", c.p99, c.cheap, c.heavy)}
		v := judge(results)
		assert.ElementsMatch(t, c.missed, v.Missed)
		var out strings.Builder
		require.NoError(t, (&options{}).print(&out, results, v))
		assert.Equal(t, len(c.missed), strings.Count(out.String(), "missed: "))
		lines := strings.Split(out.String(), "\n")
		assert.Equal(t, len([]rune(lines[0])), len([]rune(lines[3])), "the columns are aligned")
	}
}
