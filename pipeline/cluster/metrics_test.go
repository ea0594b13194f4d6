package cluster_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/httpfront"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

const soon = 20 * time.Second

// urls is a log in which the url of metrics is looked for.
type urls chan string

// Write implements io.Writer.
func (u urls) Write(line []byte) (int, error) {
	if _, url, found := strings.Cut(string(line), "msg=metrics url="); found {
		u <- strings.TrimSpace(url)
	}
	return len(line), nil
}

// served runs a part with its metrics until the end of the test, and returns
// what reads them.
func served(t *testing.T, m *cluster.Metrics, p cluster.Part) (scrape func() string) {
	t.Helper()
	log := make(urls, 1)
	part, err := m.Serve("127.0.0.1:0", p, slog.New(slog.NewTextHandler(log, nil)))
	require.NoError(t, err)
	start(t, part)
	var url string
	select {
	case url = <-log:
	case <-time.After(soon):
		t.Fatal("metrics are not served")
	}
	return func() string {
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Get(url)
		require.NoError(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return string(text)
	}
}

// shows waits until the metrics have all these lines.
func shows(t *testing.T, scrape func() string, lines ...string) {
	t.Helper()
	var missing []string
	if !assert.Eventually(t, func() bool {
		text := scrape()
		missing = missing[:0]
		for _, l := range lines {
			if !strings.Contains(text, l+"\n") {
				missing = append(missing, l)
			}
		}
		return len(missing) == 0
	}, soon, 5*time.Millisecond) {
		t.Fatalf("not there: %v\n%s", missing, scrape())
	}
}

// A handler that hangs shows, until it returns.
func TestMetricsShowAHandlerThatHangs(t *testing.T) {
	release := make(chan struct{})
	let := sync.OnceFunc(func() { close(release) })
	defer let()
	m := cluster.NewMetrics("test")
	w, err := cluster.NewWhole(cluster.WholeConfig{
		Stages: []cluster.Stage{{
			Name: "hang", Slots: 1, Timeout: 10 * time.Millisecond,
			Handler: pipeline.HandlerFunc(func(context.Context, *pipeline.Job) (pipeline.Result, error) {
				<-release
				return pipeline.Text(200, "late"), nil
			}),
		}},
		HTTP: httpfront.Config{Listen: "127.0.0.1:0"}, Metrics: m,
	})
	require.NoError(t, err)
	scrape := served(t, m, w)
	await(t, w.Ready())
	status, _ := get(t, w.Addr(), "/")
	assert.Equal(t, 504, status)
	shows(t, scrape,
		`butterfly_worker_hung_handlers{stage="hang"} 1`,
		`butterfly_worker_jobs_overran_total{stage="hang"} 1`,
		`butterfly_front_requests_total{code="5xx",front="front",stage="hang"} 1`,
	)
	let()
	shows(t, scrape, `butterfly_worker_hung_handlers{stage="hang"} 0`, `butterfly_worker_jobs_total{stage="hang"} 1`)
}

// What is refused shows by the bound that was exceeded.
func TestMetricsShowWhatIsRefused(t *testing.T) {
	came, release := make(chan struct{}, 1), make(chan struct{})
	m := cluster.NewMetrics("test")
	w, err := cluster.NewWhole(cluster.WholeConfig{
		Stages: []cluster.Stage{{
			Name: "slow", Slots: 1,
			Handler: pipeline.HandlerFunc(func(context.Context, *pipeline.Job) (pipeline.Result, error) {
				came <- struct{}{}
				<-release
				return pipeline.Text(200, "done"), nil
			}),
		}},
		HTTP:  httpfront.Config{Listen: "127.0.0.1:0"},
		Table: loopback.TableConfig{MaxPending: 1}, Metrics: m,
	})
	require.NoError(t, err)
	scrape := served(t, m, w)
	await(t, w.Ready())
	first := make(chan int, 1)
	go func() {
		status, _ := get(t, w.Addr(), "/")
		first <- status
	}()
	await(t, came)
	status, _ := get(t, w.Addr(), "/")
	assert.Equal(t, 503, status)
	shows(t, scrape,
		`butterfly_front_refused_total{front="front",reason="max_pending"} 1`,
		`butterfly_front_refused_total{front="front",reason="max_pending_bytes"} 0`,
		`butterfly_front_pending{front="front"} 1`,
		`butterfly_stage_slots_busy{proxy="",stage="slow"} 1`,
		`butterfly_worker_jobs_total{stage="slow"} 0`,
	)
	close(release)
	assert.Equal(t, 200, <-first)
	shows(t, scrape, `butterfly_front_pending{front="front"} 0`, `butterfly_front_ended_total{front="front",how="answered"} 1`)
}

// A program that ends shows by its starts.
func TestMetricsShowWorkerPrograms(t *testing.T) {
	m := cluster.NewMetrics("test")
	p, err := cluster.NewPrograms(cluster.ProgramsConfig{
		Stage: "short", Command: []string{"sleep", "0.01"}, Count: 2, Upstream: "ipc:///tmp/none", Metrics: m,
	})
	require.NoError(t, err)
	scrape := served(t, m, p)
	shows(t, scrape, `butterfly_programs{stage="short"} 2`)
	require.Eventually(t, func() bool {
		_, starts, _ := strings.Cut(scrape(), "butterfly_program_starts_total{stage=\"short\"} ")
		starts, _, _ = strings.Cut(starts, "\n")
		return starts != "" && starts != "0" && starts != "1" && starts != "2"
	}, soon, 10*time.Millisecond, "they are not started again")
}

// What cannot be served keeps the part from being run.
func TestAPartDoesNotRunWithoutItsMetrics(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	ran := false
	part, err := cluster.NewMetrics("").Serve(ln.Addr().String(), partFunc(func(context.Context) error {
		ran = true
		return nil
	}), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.ErrorContains(t, part.Run(t.Context()), "metrics: listen tcp ")
	assert.False(t, ran)
}

// partFunc is a Part that is its Run.
type partFunc func(context.Context) error

func (f partFunc) Run(ctx context.Context) error    { return f(ctx) }
func (f partFunc) Shutdown(_ context.Context) error { return nil }

// An endpoint that cannot be used keeps the workers of a graph from being made.
func TestWorkersThatCannotBeMadeAreAnError(t *testing.T) {
	at := func(e string) graph.Endpoint { return graph.Endpoint{Bind: e, Connect: e} }
	s, err := cluster.NewService(cluster.ServiceConfig{
		Graph: &graph.Graph{
			Fronts: []graph.Front{{Name: "front", Loopback: at("ipc:///tmp/l"), Interrupt: at("ipc:///tmp/i")}},
			Routes: []graph.Route{{Prefix: "/", Stage: "a"}},
			Stages: []graph.Stage{{Name: "a", Worker: "w", Upstream: at("ipc:///tmp/u"), Downstream: at("nonsense")}},
		},
		Workers: map[string]pipeline.Handler{"w": pipeline.HandlerFunc(nil)},
	})
	require.NoError(t, err)
	_, err = s.Part(graph.Role{Kind: graph.RoleWorkers, Name: "a"}, 0)
	require.ErrorContains(t, err, "nonsense")
}
