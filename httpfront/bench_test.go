package httpfront

import (
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

// The benchmarks compare a bare fasthttp handler with the front, whose stage
// answers at once on the connection's goroutine: what is between them is the
// front, the codec and the pending table. They leave out proxies and workers.
// 64 keep-alive connections; the load shares the cores.

func BenchmarkBare(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	s := &fasthttp.Server{MaxIdleWorkerDuration: time.Millisecond, Handler: func(ctx *fasthttp.RequestCtx) {
		ctx.SetContentType("text/plain; charset=utf-8")
		ctx.SetBodyString("3")
	}}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	load(b, ln.Addr().String())
	require.NoError(b, s.Shutdown())
	<-served
}

func BenchmarkFront(b *testing.B) { benchmarkFront(b, Config{}) }

func BenchmarkFrontWithAccessLog(b *testing.B) { benchmarkFront(b, Config{AccessLog: io.Discard}) }

func BenchmarkFrontWithMetrics(b *testing.B) {
	benchmarkFront(b, Config{Own: new(Served), Served: new(Served)})
}

func benchmarkFront(b *testing.B, cfg Config) {
	r := start(b, cfg, three)
	load(b, r.Addr().String())
}

// three answers all requests.
func three(r *rig, j *loopback.Job) error {
	r.reply(j, httptext.NewText(200, "3"))
	return nil
}

// The client's side of TLS is in the figures, too.
func BenchmarkFrontWithTLS(b *testing.B) {
	cfg, a := secured(b, Config{})
	r := start(b, cfg, three)
	loadOver(b, func() (net.Conn, error) { return tls.Dial("tcp", r.Addr().String(), a.trusting()) })
}

// load sends b.N requests over 64 connections and reports allocations per
// request; its own loop makes none.
func load(b *testing.B, addr string) {
	loadOver(b, func() (net.Conn, error) { return net.Dial("tcp", addr) })
}

func loadOver(b *testing.B, dial func() (net.Conn, error)) {
	request := []byte("GET /is_prime?possible_prime=3 HTTP/1.1\r\nHost: localhost:8002\r\nUser-Agent: load/1.0\r\nAccept: */*\r\n\r\n")
	var left atomic.Int64
	left.Store(int64(b.N))
	conns := make([]net.Conn, 64)
	for i := range conns {
		c, err := dial()
		require.NoError(b, err)
		conns[i] = c
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b.ResetTimer()
	var clients sync.WaitGroup
	for _, c := range conns {
		clients.Go(func() {
			defer c.Close()
			buf := make([]byte, 4096)
			for left.Add(-1) >= 0 {
				if _, err := c.Write(request); err != nil {
					b.Error(err)
				}
				if _, err := c.Read(buf); err != nil {
					b.Error(err)
				}
			}
		})
	}
	clients.Wait()
	b.StopTimer()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(b.N), "allocs/req")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/float64(b.N), "B/req")
}

// An idle connection costs what the documentation of IdleTimeout says. Both
// ends are in this process, so the client's is counted too.
func TestIdleMemory(t *testing.T) {
	r := start(t, Config{}, echo)
	used := r.idleMemory(func() net.Conn { return r.dial().TCPConn })
	t.Log(used, "bytes per idle connection")
	require.Less(t, used, int64(16<<10))
}

// With TLS both ends hold the state and the buffers of the encryption.
func TestIdleMemoryWithTLS(t *testing.T) {
	cfg, a := secured(t, Config{})
	r := start(t, cfg, echo)
	config := a.trusting()
	used := r.idleMemory(func() net.Conn { return r.dialTLS(config).Conn })
	t.Log(used, "bytes per idle connection")
	require.Less(t, used, int64(32<<10))
}

// idleMemory returns what a connection costs that has had one answer.
func (r *rig) idleMemory(dial func() net.Conn) int64 {
	t := r.t
	const conns = 500
	buf := make([]byte, 4096)
	ask := func() {
		c := dial()
		_, err := io.WriteString(c, get("/"))
		require.NoError(t, err)
		_, err = c.Read(buf)
		require.NoError(t, err)
	}
	ask()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range conns {
		ask()
	}
	runtime.GC()
	runtime.GC() // empties the pools
	runtime.ReadMemStats(&after)
	t.Log(int64(after.HeapAlloc-before.HeapAlloc)/conns, "of heap,", int64(after.StackInuse-before.StackInuse)/conns, "of stack")
	used := int64(after.HeapAlloc+after.StackInuse) - int64(before.HeapAlloc+before.StackInuse)
	return used / conns
}
