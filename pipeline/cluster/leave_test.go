package cluster_test

import (
	"context"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/httpfront"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
)

// promised is how soon a client that has left is noticed, everywhere.
const promised = 100 * time.Millisecond

// hung is a stage of one slot whose jobs run until they are told to stop.
type hung struct {
	running chan string // the target of a job that has begun
	ended   chan time.Time
	release chan struct{} // a job may end
}

func newHung() *hung {
	return &hung{make(chan string, 10), make(chan time.Time, 10), make(chan struct{}, 10)}
}

func (h *hung) Handle(ctx context.Context, job *pipeline.Job) (pipeline.Result, error) {
	r, err := job.Request()
	if err != nil {
		return pipeline.Result{}, err
	}
	h.running <- r.Target
	select {
	case <-ctx.Done():
		h.ended <- time.Now()
		return pipeline.Result{}, ctx.Err()
	case <-h.release:
		return pipeline.Text(200, r.Target), nil
	}
}

// serveWhole and serveApart serve a stage, in one process and with connections between
// all parts.
func serveWhole(t *testing.T, h pipeline.Handler, http httpfront.Config) net.Addr {
	w, err := cluster.NewWhole(cluster.WholeConfig{
		Stages: []cluster.Stage{{Name: "hung", Handler: h, Slots: 1}}, HTTP: http,
	})
	require.NoError(t, err)
	start(t, w)
	await(t, w.Ready())
	return w.Addr()
}

func serveApart(t *testing.T, h pipeline.Handler, http httpfront.Config) net.Addr {
	at := "ipc://" + t.TempDir()
	front, err := cluster.NewFront(cluster.FrontConfig{HTTP: http, Proxy: at + "/up", Loopback: at + "/loop", Interrupt: at + "/int"})
	require.NoError(t, err)
	start(t, front)
	await(t, front.Ready())
	fronts, interrupts := []loopback.FrontEndpoint{{Endpoint: at + "/loop"}}, []string{at + "/int"}
	p, err := cluster.NewProxy(cluster.ProxyConfig{
		Stage: "hung", Upstream: at + "/up", Downstream: at + "/down", Fronts: fronts, Interrupts: interrupts,
	})
	require.NoError(t, err)
	start(t, p)
	await(t, p.Ready())
	w, err := pipeline.NewWorker(pipeline.WorkerConfig{
		Stage: "hung", Handler: h, Slots: 1, Upstream: at + "/down", Fronts: fronts, Interrupts: interrupts,
	})
	require.NoError(t, err)
	start(t, w)
	require.Eventually(t, func() bool {
		status, _ := get(t, front.Addr(), "/readyz")
		return status == 200
	}, 10*time.Second, time.Millisecond)
	return front.Addr()
}

// ask sends requests over a connection of its own.
func ask(t *testing.T, addr net.Addr, targets ...string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	for _, target := range targets {
		_, err = io.WriteString(c, "GET "+target+" HTTP/1.1\r\nHost: h\r\n\r\n")
		require.NoError(t, err)
	}
	return c.(*net.TCPConn)
}

// A client that leaves while its job runs ends the handler's context as soon as
// is promised: after a reset at once, after a FIN when the grace is over.
func TestHowSoonALeaverIsNoticed(t *testing.T) {
	const grace = 200 * time.Millisecond
	reset := func(c *net.TCPConn) {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
	for where, serve := range map[string]func(*testing.T, pipeline.Handler, httpfront.Config) net.Addr{"in one process": serveWhole, "over ipc": serveApart} {
		for how, tt := range map[string]struct {
			leave   func(*net.TCPConn)
			targets []string
			after   time.Duration
		}{
			"reset":                        {reset, []string{"/1"}, 0},
			"reset behind pipelined bytes": {reset, []string{"/1", "/2", "/3"}, 0},
			"FIN":                          {func(c *net.TCPConn) { _ = c.CloseWrite() }, []string{"/1"}, grace},
			"FIN behind pipelined bytes":   {func(c *net.TCPConn) { _ = c.CloseWrite() }, []string{"/1", "/2"}, grace},
		} {
			t.Run(how+" "+where, func(t *testing.T) {
				if runtime.GOOS != "linux" && len(tt.targets) > 1 {
					t.Skip("pipelined bytes hide a disconnect where there is no epoll")
				}
				h := newHung()
				addr := serve(t, h, httpfront.Config{Listen: "127.0.0.1:0", ReadyPath: "/readyz", HalfCloseGrace: grace})
				best := time.Hour // the machine may be busy
				for range 5 {
					c := ask(t, addr, tt.targets...)
					assert.Equal(t, "/1", <-h.running)
					left := time.Now()
					tt.leave(c)
					took := (<-h.ended).Sub(left)
					t.Log("noticed after", took)
					assert.GreaterOrEqual(t, took, tt.after)
					best = min(best, took)
				}
				assert.Less(t, best, tt.after+promised)
			})
		}
	}
}

// A job that waits for a worker when its client leaves is never begun.
func TestJobsOfLeaversLeaveTheQueue(t *testing.T) {
	for where, serve := range map[string]func(*testing.T, pipeline.Handler, httpfront.Config) net.Addr{"in one process": serveWhole, "over ipc": serveApart} {
		t.Run(where, func(t *testing.T) {
			h := newHung()
			addr := serve(t, h, httpfront.Config{Listen: "127.0.0.1:0", ReadyPath: "/readyz"})
			ask(t, addr, "/runs")
			assert.Equal(t, "/runs", <-h.running)
			leaver := ask(t, addr, "/leaves")
			queued := time.After(promised)
			<-queued
			require.NoError(t, leaver.SetLinger(0))
			require.NoError(t, leaver.Close())
			noticed := time.After(promised)
			<-noticed
			ask(t, addr, "/stays")
			h.release <- struct{}{}
			assert.Equal(t, "/stays", <-h.running)
			h.release <- struct{}{}
		})
	}
}
