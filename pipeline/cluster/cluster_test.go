package cluster_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/butterfly-zmq/butterfly/httpfront"
	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
)

func TestMain(m *testing.M) {
	// fasthttp keeps the time of its Date header in a goroutine for ever.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp/stackless.funcWorker"))
}

// upper is a pipeline of two stages: the second answers in capitals what the
// first cut out of the target.
func upper() []cluster.Stage {
	return []cluster.Stage{
		{Name: "cut", Slots: 2, Next: []string{"shout"}, Handler: pipeline.HandlerFunc(
			func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
				r, err := job.Request()
				if err != nil {
					return pipeline.Result{}, err
				}
				return pipeline.Forward("shout", []byte(strings.TrimPrefix(r.Path(), "/"))), nil
			})},
		{Name: "shout", Slots: 2, Handler: pipeline.HandlerFunc(
			func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
				return pipeline.Text(200, fmt.Sprintf("%s %d", strings.ToUpper(string(job.Bytes())), job.Hops())), nil
			})},
	}
}

// runner is what runs.
type runner interface {
	Run(context.Context) error
}

// start runs r and returns its hard stop, which waits for it.
func start(t *testing.T, r runner) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

func await(t *testing.T, ready <-chan struct{}) {
	t.Helper()
	select {
	case <-ready:
	case <-time.After(10 * time.Second):
		t.Fatal("not ready")
	}
}

// get asks over a connection of its own.
func get(t *testing.T, addr net.Addr, path string) (int, string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get("http://" + addr.String() + path)
	require.NoError(t, err)
	defer func() { _ = r.Body.Close() }()
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return r.StatusCode, string(body)
}

func whole(t *testing.T, stages []cluster.Stage) *cluster.Whole {
	t.Helper()
	w, err := cluster.NewWhole(cluster.WholeConfig{Stages: stages, HTTP: httpfront.Config{Listen: "127.0.0.1:0"}})
	require.NoError(t, err)
	return w
}

func TestWholePipelineInOneProcess(t *testing.T) {
	w := whole(t, upper())
	stop := start(t, w)
	await(t, w.Ready())
	status, body := get(t, w.Addr(), "/hello")
	assert.Equal(t, 200, status)
	assert.Equal(t, "HELLO 2", body)
	assert.EqualValues(t, 1, w.Stats()[1].Jobs)
	require.NoError(t, stop())
}

func TestShutdownAnswersWhatWasAccepted(t *testing.T) {
	running, release := make(chan struct{}), make(chan struct{})
	w := whole(t, []cluster.Stage{{Name: "slow", Handler: pipeline.HandlerFunc(
		func(context.Context, *pipeline.Job) (pipeline.Result, error) {
			close(running)
			<-release
			return pipeline.Text(200, "late"), nil
		})}})
	ended := make(chan error, 1)
	go func() { ended <- w.Run(context.Background()) }()
	await(t, w.Ready())
	answer := make(chan string, 1)
	go func() {
		_, body := get(t, w.Addr(), "/")
		answer <- body
	}()
	<-running
	down := make(chan error, 1)
	go func() { down <- w.Shutdown(t.Context()) }()
	close(release)
	assert.Equal(t, "late", <-answer)
	require.NoError(t, <-down)
	require.NoError(t, <-ended)
}

func TestAClientThatLeavesEndsTheRunningJob(t *testing.T) {
	running, ended := make(chan struct{}), make(chan error, 1)
	w := whole(t, []cluster.Stage{{Name: "slow", Handler: pipeline.HandlerFunc(
		func(ctx context.Context, _ *pipeline.Job) (pipeline.Result, error) {
			close(running)
			<-ctx.Done()
			ended <- ctx.Err()
			return pipeline.Result{}, ctx.Err()
		})}})
	start(t, w)
	await(t, w.Ready())
	conn, err := net.Dial("tcp", w.Addr().String())
	require.NoError(t, err)
	_, err = conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	require.NoError(t, err)
	<-running
	require.NoError(t, conn.Close())
	assert.ErrorIs(t, <-ended, context.Canceled)
}

// The whole way over ZMTP: a front, two proxies and two workers.
func TestFrontProxiesAndWorkersApart(t *testing.T) {
	o := transport.Options{Inproc: transport.NewInproc()}
	front, err := cluster.NewFront(cluster.FrontConfig{
		HTTP:      httpfront.Config{Listen: "127.0.0.1:0", ReadyPath: "/readyz"},
		Proxy:     "inproc://cut.up",
		Watch:     []string{"inproc://shout.up"},
		Loopback:  "inproc://loopback",
		Interrupt: "inproc://interrupt",
		Transport: o,
	})
	require.NoError(t, err)
	start(t, front)
	await(t, front.Ready())
	status, body := get(t, front.Addr(), "/readyz")
	assert.Equal(t, 503, status)
	assert.Contains(t, body, "cut.up is not connected")

	fronts := []loopback.FrontEndpoint{{Endpoint: "inproc://loopback"}}
	interrupts := []string{"inproc://interrupt"}
	for _, s := range upper() {
		p, err := cluster.NewProxy(cluster.ProxyConfig{
			Stage: s.Name, Upstream: "inproc://" + s.Name + ".up", Downstream: "inproc://" + s.Name + ".down",
			Fronts: fronts, Interrupts: interrupts, Transport: o,
		})
		require.NoError(t, err)
		start(t, p)
		await(t, p.Ready())
		w, err := pipeline.NewWorker(pipeline.WorkerConfig{
			Stage: s.Name, Handler: s.Handler, Slots: 3, Upstream: "inproc://" + s.Name + ".down",
			Next:   map[string]string{"shout": "inproc://shout.up"},
			Fronts: fronts, Interrupts: interrupts, Transport: o,
		})
		require.NoError(t, err)
		start(t, w)
	}
	require.Eventually(t, func() bool {
		status, _ := get(t, front.Addr(), "/readyz")
		return status == 200
	}, 10*time.Second, 10*time.Millisecond)
	status, body = get(t, front.Addr(), "/hello")
	assert.Equal(t, 200, status)
	assert.Equal(t, "HELLO 2", body)
}

func TestAnAddressInUseEndsRun(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	w, err := cluster.NewWhole(cluster.WholeConfig{Stages: upper(), HTTP: httpfront.Config{Listen: taken.Addr().String()}})
	require.NoError(t, err)
	assert.ErrorContains(t, w.Run(t.Context()), "address already in use")

	o := transport.Options{Inproc: transport.NewInproc()}
	l, err := transport.Listen("inproc://loopback", transport.Options{Socket: transport.Pull, Inproc: o.Inproc}, nil)
	require.NoError(t, err)
	defer l.Close()
	front, err := cluster.NewFront(cluster.FrontConfig{
		HTTP: httpfront.Config{Listen: "127.0.0.1:0"}, Transport: o,
		Proxy: "inproc://p", Loopback: "inproc://loopback", Interrupt: "inproc://interrupt",
	})
	require.NoError(t, err)
	var bind *transport.BindError
	assert.ErrorAs(t, front.Run(t.Context()), &bind)
}

func TestStagesAreChecked(t *testing.T) {
	table, err := loopback.NewTable(loopback.TableConfig{})
	require.NoError(t, err)
	for want, stages := range map[string][]cluster.Stage{
		"at least one stage":   nil,
		`two stages are named`: {upper()[1], upper()[1]},
		`does not exist`:       {{Name: "a", Handler: upper()[0].Handler, Next: []string{"b"}}},
		`no handler`:           {{Name: "a"}},
		`must not be negative`: {{Name: "a", Handler: upper()[0].Handler, MaxVisits: -1}},
		`have the same hash`:   {{Name: "costarring"}, {Name: "liquid"}},
	} {
		_, err := cluster.NewStages(cluster.StagesConfig{Stages: stages, Table: table})
		assert.ErrorContains(t, err, want)
	}
}
