package httpload

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// against starts a server with the handler and returns a usable Config for it.
func against(t *testing.T, handler http.HandlerFunc) Config {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return Config{URL: server.URL, Connections: 4, Requests: 200, Timeout: 10 * time.Second}
}

func measure(t *testing.T, c Config) *Report {
	report, err := Run(t.Context(), c)
	require.NoError(t, err)
	return report
}

func TestEveryRequestIsSentAndCountedOnce(t *testing.T) {
	var served atomic.Int64
	config := against(t, func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(append(body, r.Header.Get("X-More")...))
	})
	config.Method, config.Body, config.Header = "POST", []byte("ping"), []string{"X-More: pong"}
	config.Expect = []byte("pingpong")
	report := measure(t, config)
	assert.EqualValues(t, 200, served.Load())
	assert.Equal(t, map[string]int64{"200": 200}, report.Statuses)
	assert.EqualValues(t, 200, report.Good())
	assert.Empty(t, report.Failures)
	assert.Zero(t, report.Redials)
	assert.Positive(t, report.PerSecond)
	l := report.Latency
	assert.IsNonDecreasing(t, []float64{1e-3, l.P50, l.P90, l.P99, l.P999, l.Max})
}

func TestTheWarmUpIsNotCounted(t *testing.T) {
	var served atomic.Int64
	config := against(t, func(http.ResponseWriter, *http.Request) { served.Add(1) })
	config.Warmup = 20 * time.Millisecond
	report := measure(t, config)
	assert.EqualValues(t, 200, report.Requests)
	assert.Greater(t, served.Load(), int64(200))
}

func TestADurationBoundsTheRun(t *testing.T) {
	config := against(t, func(http.ResponseWriter, *http.Request) {})
	config.Requests, config.Duration = 0, 50*time.Millisecond
	report := measure(t, config)
	assert.InDelta(t, 0.05, report.Seconds, 1e-9)
	assert.Positive(t, report.Requests)
	assert.InDelta(t, float64(report.Requests), report.PerSecond*0.05, 4.01, "only what was under way at the end comes late")
}

func TestALargeBodyIsSentWhole(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	config := against(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	})
	config.Method, config.Body, config.Expect, config.Requests = "PUT", large, large, 4
	assert.EqualValues(t, 4, measure(t, config).Good())
}

func TestAnswersAreSortedByStatus(t *testing.T) {
	var n atomic.Int64
	config := against(t, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1)%4 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	assert.Equal(t, map[string]int64{"200": 150, "503": 50}, measure(t, config).Statuses)
}

func TestAConnectionThatTheServerClosesIsDialledAgain(t *testing.T) {
	config := against(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
	})
	report := measure(t, config)
	assert.EqualValues(t, 200, report.Good())
	assert.Empty(t, report.Failures)
	assert.GreaterOrEqual(t, report.Redials, int64(190))
}

func TestFailuresAreSortedByKind(t *testing.T) {
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, refused.Close())
	abort := against(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	other := against(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("no")) })
	other.Expect = []byte("yes")
	hang := against(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	hang.Timeout = 20 * time.Millisecond
	dead := usable()
	dead.URL, dead.Duration = "http://"+refused.Addr().String(), 0
	for kind, config := range map[Kind]Config{Connect: dead, Closed: abort, Body: other, Timeout: hang} {
		t.Run(string(kind), func(t *testing.T) {
			config.Requests = 2
			report := measure(t, config)
			assert.EqualValues(t, 2, report.Failures[kind].Count)
			assert.NotEmpty(t, report.Failures[kind].Example)
			assert.EqualValues(t, 2, report.Requests)
			assert.Zero(t, report.PerSecond)
			if kind == Timeout {
				assert.GreaterOrEqual(t, report.Latency.P50, 20e3, "a timeout is a latency")
			}
		})
	}
}

func TestTheEndOfTheContextEndsARunAgainstAHangingServer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	config := against(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	report, err := Run(ctx, config)
	require.NoError(t, err)
	assert.Zero(t, report.Requests, "what was cut off is neither answered nor failed")
}

func TestReportTexts(t *testing.T) {
	report := &Report{
		Connections: 2, Seconds: 2, Requests: 7, PerSecond: 3, Statuses: map[string]int64{"200": 6},
		Failures: map[Kind]Failure{Timeout: {1, "i/o timeout"}}, Unsent: 5, Waited: 4, Redials: 1,
		Latency: Latencies{P50: 12.34, P90: 999, P99: 1500, P999: 2e6, Max: 2.5e6},
	}
	var text strings.Builder
	require.NoError(t, report.Write(&text))
	assert.Equal(t, strings.TrimLeft(`
requests/s       3
requests         7 in 2.00 s over 2 connections
latency          p50 12.3 µs  p90 999 µs  p99 1.5 ms  p99.9 2 s  max 2.5 s
status 200       6
failed: timeout  1, first: i/o timeout
unsent           5 were due and found no free connection before the end
waited           4 found no free connection when they were due
redials          1
`, "\n"), text.String())
	report.Measured = nil // it stays here
	encoded, err := json.Marshal(report)
	require.NoError(t, err)
	var back Report
	require.NoError(t, json.Unmarshal(encoded, &back))
	assert.Equal(t, *report, back)
}
