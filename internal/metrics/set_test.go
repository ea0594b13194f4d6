package metrics

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/butterfly-zmq/butterfly/internal/stats"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const soon = 10 * time.Second

// reading is what the tests measure.
type reading struct {
	n    float64
	took stats.Distribution
}

func readingMetrics() []Metric[reading] {
	return []Metric[reading]{
		One("test_things", Gauge, "Things.", func(r *reading) float64 { return r.n }),
		{
			Name: "test_things_total", Help: "Things by colour.", Kind: Counter, By: []string{"colour"},
			Read: func(r *reading, value func(float64, ...string)) { value(r.n, "red"); value(2*r.n, "blue") },
		},
		{
			Name: "test_things_seconds", Help: "How long they took.", Kind: Histogram,
			Took: func(r *reading, value func(stats.Distribution, ...string)) { value(r.took) },
		},
	}
}

// A source is read at each scrape, once for all its metrics, and histograms are
// cumulative and in seconds.
func TestSourcesAreReadWhenAsked(t *testing.T) {
	s := NewSet("1.2.3")
	var r reading
	reads := 0
	require.NoError(t, Add(s, Labels{"of": "x"}, readingMetrics(), func() reading {
		reads++
		return r
	}))
	r.n = 7
	r.took.Observe(time.Millisecond)
	r.took.Observe(3 * time.Millisecond)
	r.took.Observe(time.Hour)
	require.NoError(t, testutil.GatherAndCompare(s.registry, strings.NewReader(`
# HELP test_things Things.
# TYPE test_things gauge
test_things{of="x"} 7
# HELP test_things_total Things by colour.
# TYPE test_things_total counter
test_things_total{colour="blue",of="x"} 14
test_things_total{colour="red",of="x"} 7
`), "test_things", "test_things_total"))
	assert.Equal(t, 1, reads)
	text := scrape(t, s)
	assert.Contains(t, text, `test_things_seconds_bucket{of="x",le="0.0005"} 0`)
	assert.Contains(t, text, `test_things_seconds_bucket{of="x",le="0.001"} 1`)
	assert.Contains(t, text, `test_things_seconds_bucket{of="x",le="0.005"} 2`)
	assert.Contains(t, text, `test_things_seconds_bucket{of="x",le="+Inf"} 3`)
	assert.Contains(t, text, `test_things_seconds_sum{of="x"} 3600.004`)
	assert.Contains(t, text, `version="1.2.3"`)
	assert.Contains(t, text, "go_goroutines ")
	assert.Contains(t, text, "process_start_time_seconds ")
}

// Two sources of the same labels would hide one another.
func TestASourceIsThereOnce(t *testing.T) {
	s := NewSet("")
	read := func() reading { return reading{} }
	require.NoError(t, Add(s, Labels{"of": "x"}, readingMetrics(), read))
	require.NoError(t, Add(s, Labels{"of": "y"}, readingMetrics(), read))
	err := Add(s, Labels{"of": "x"}, readingMetrics(), read)
	require.ErrorContains(t, err, "metrics: source [x]: ")
}

func scrape(t *testing.T, s *Set) string {
	t.Helper()
	url, _ := serve(t, s)
	resp, body := ask(t, http.MethodGet, url)
	require.Equal(t, 200, resp.StatusCode)
	return body
}

// serve serves s until the end of the test, or until stop is called, which joins.
func serve(t *testing.T, s *Set) (url string, stop func()) {
	t.Helper()
	server, err := NewServer("127.0.0.1:0", s, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	stopped := false
	stop = func() {
		cancel()
		if !stopped {
			stopped = true
			assert.NoError(t, <-done)
		}
	}
	t.Cleanup(stop)
	select {
	case <-server.Ready():
	case <-time.After(soon):
		t.Fatal("not ready")
	}
	return server.URL(), stop
}

func ask(t *testing.T, method, url string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	require.NoError(t, err)
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: soon}).Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(body)
}

// Nothing but the metrics is served: no profiles, no index.
func TestNothingElseIsServed(t *testing.T) {
	url, _ := serve(t, NewSet(""))
	base := strings.TrimSuffix(url, Path)
	for _, path := range []string{"/", "/debug/pprof/", "/debug/vars", "/metrics/", "/metrics/x"} {
		resp, body := ask(t, http.MethodGet, base+path)
		assert.Equal(t, 404, resp.StatusCode, path)
		assert.Less(t, len(body), 100, path)
	}
	resp, _ := ask(t, http.MethodPost, url)
	assert.Equal(t, 405, resp.StatusCode)
	resp, body := ask(t, http.MethodHead, url)
	assert.Equal(t, 200, resp.StatusCode)
	assert.Empty(t, body)
}

// An address that is taken is an error in one line, which says what it is about.
func TestAnAddressThatIsTaken(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	server, err := NewServer(ln.Addr().String(), NewSet(""), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	err = server.Run(t.Context())
	require.ErrorContains(t, err, "metrics: listen tcp "+ln.Addr().String()+": ")
	assert.NotContains(t, err.Error(), "\n")
	_, err = NewServer("nowhere", NewSet(""), slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, `"nowhere" is no address`)
}

// Connections beyond the bound wait, and take nothing of the others'; all are
// cut at the end.
func TestIdleConnectionsAreBounded(t *testing.T) {
	var log bytes.Buffer
	server, err := NewServer("127.0.0.1:0", NewSet(""), slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	<-server.Ready()
	address := strings.TrimSuffix(strings.TrimPrefix(server.URL(), "http://"), Path)
	var conns []net.Conn
	for range maxConns + 8 {
		c, err := net.Dial("tcp", address)
		require.NoError(t, err)
		defer c.Close()
		conns = append(conns, c)
	}
	for _, c := range conns[:maxConns] { // makes room
		_ = c.Close()
	}
	resp, _ := ask(t, http.MethodGet, server.URL())
	assert.Equal(t, 200, resp.StatusCode)
	stop()
	require.NoError(t, <-done)
	last := conns[len(conns)-1]
	require.NoError(t, last.SetReadDeadline(time.Now().Add(soon)))
	_, err = last.Read(make([]byte, 1))
	require.Error(t, err)
	assert.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the connection is still open")
	assert.Empty(t, log.String())
}
