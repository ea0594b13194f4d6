package main

import (
	"context"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/butterfly-zmq/butterfly/bench/internal/httpload"
	pipelines "github.com/butterfly-zmq/butterfly/examples/primes"
	"github.com/butterfly-zmq/butterfly/httpfront"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
)

// The pipeline beside the bare handler that does the same job, through HTTP
// over loopback with 64 keep-alive connections. All parts and the load share
// this process: less fair than `go run ./bench/compare`, which gives each a
// process of its own, but quick, and it shows allocations.
func BenchmarkPrimes(b *testing.B) {
	b.Run("bare", func(b *testing.B) { get(b, bare(b, primes)) })
	b.Run("one process", func(b *testing.B) { get(b, whole(b)) })
	b.Run("two stages over ipc", func(b *testing.B) { get(b, apart(b, "parse", "compute")) })
}

func BenchmarkEcho(b *testing.B) {
	b.Run("bare", func(b *testing.B) { post(b, bare(b, echo)) })
	b.Run("one stage over ipc", func(b *testing.B) { post(b, apart(b, "echo")) })
}

func get(b *testing.B, addr net.Addr) {
	load(b, httpload.Config{URL: "http://" + addr.String() + "/is_prime?possible_prime=3", Expect: []byte("3")})
}

func post(b *testing.B, addr net.Addr) {
	load(b, httpload.Config{URL: "http://" + addr.String(), Method: "POST", Body: []byte("hello"), Expect: []byte("hello")})
}

// load sends b.N requests, each of which has to be answered rightly.
func load(b *testing.B, c httpload.Config) {
	c.Connections, c.Requests, c.Timeout = 64, int64(b.N), 10*time.Second
	b.ReportAllocs()
	b.ResetTimer()
	report, err := httpload.Run(b.Context(), c)
	b.StopTimer()
	require.NoError(b, err)
	require.Empty(b, report.Failures)
	b.ReportMetric(report.PerSecond, "req/s")
}

// bare serves a handler of this package.
func bare(b *testing.B, handler fasthttp.RequestHandler) net.Addr {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	server := fasthttp.Server{Handler: handler, NoDefaultServerHeader: true}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	b.Cleanup(func() {
		_ = server.Shutdown()
		serving.Wait()
	})
	return l.Addr()
}

// background runs parts until the end of the benchmark.
func background(b *testing.B, run func(context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = run(ctx) })
	b.Cleanup(func() {
		stop()
		running.Wait()
	})
}

// whole serves the primes pipeline in one process.
func whole(b *testing.B) net.Addr {
	var stages []cluster.Stage
	for _, s := range pipelines.Stages() {
		stages = append(stages, cluster.Stage{Name: s.Name, Handler: pipelines.Workers()[s.Worker], Next: s.Next})
	}
	w, err := cluster.NewWhole(cluster.WholeConfig{Stages: stages, HTTP: httpfront.Config{Listen: "127.0.0.1:0"}})
	require.NoError(b, err)
	background(b, w.Run)
	<-w.Ready()
	return w.Addr()
}

// apart serves stages behind proxies of their own, over ipc.
func apart(b *testing.B, stages ...string) net.Addr {
	dir := b.TempDir()
	at := func(name string) string { return "ipc://" + filepath.Join(dir, name) }
	front, err := cluster.NewFront(cluster.FrontConfig{
		HTTP:  httpfront.Config{Listen: "127.0.0.1:0"},
		Proxy: at(stages[0] + "u"), Loopback: at("l"), Interrupt: at("i"),
	})
	require.NoError(b, err)
	background(b, front.Run)
	<-front.Ready()
	fronts := []loopback.FrontEndpoint{{Endpoint: at("l")}}
	for i, name := range stages {
		p, err := cluster.NewProxy(cluster.ProxyConfig{
			Upstream: at(name + "u"), Downstream: at(name + "d"), Fronts: fronts, Interrupts: []string{at("i")},
		})
		require.NoError(b, err)
		background(b, p.Run)
		<-p.Ready()
		next := map[string]string{}
		if i+1 < len(stages) {
			next[stages[i+1]] = at(stages[i+1] + "u")
		}
		handlers := pipelines.Workers()
		handler := handlers["primes."+name]
		if handler == nil {
			handler = handlers[name]
		}
		w, err := pipeline.NewWorker(pipeline.WorkerConfig{
			Stage: name, Handler: handler, Slots: 16, Upstream: at(name + "d"), Next: next,
			Fronts: fronts, Interrupts: []string{at("i")},
		})
		require.NoError(b, err)
		background(b, w.Run)
	}
	return front.Addr()
}
