package cluster_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/httpfront"
	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
)

// slow is a connection from which little is read at a time.
type slow struct{ net.Conn }

func (s slow) Read(p []byte) (int, error) {
	time.Sleep(20 * time.Millisecond) // the bubble's clock: no test waits for it
	return s.Conn.Read(p[:min(len(p), 32<<10)])
}

// background runs f until the end of the bubble's test.
func background(t *testing.T, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-done)
	})
}

// A proxy that is stopped hard with more jobs in its queue than a connection
// takes at once tells the client of every one.
func TestAProxyThatIsStoppedHardTellsEveryClient(t *testing.T) {
	const jobs = 1000
	for name, end := range map[string]func(*cluster.Proxy, context.CancelFunc){
		"the end of Run's context": func(_ *cluster.Proxy, stop context.CancelFunc) { stop() },
		"a drain that takes too long": func(p *cluster.Proxy, stop context.CancelFunc) {
			grace, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
			defer cancel()
			assert.ErrorIs(t, p.Shutdown(grace), context.DeadlineExceeded)
			stop()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := transport.Options{Inproc: transport.NewInproc()}
				table, err := loopback.NewTable(loopback.TableConfig{})
				require.NoError(t, err)
				background(t, table.Run)
				unhurried := o
				unhurried.WrapConn = func(nc net.Conn) net.Conn { return slow{nc} }
				collector, err := loopback.NewCollector("inproc://loopback", unhurried, table)
				require.NoError(t, err)
				background(t, collector.Run)
				p, err := cluster.NewProxy(cluster.ProxyConfig{
					Upstream: "inproc://up", Downstream: "inproc://down",
					Fronts: []loopback.FrontEndpoint{{Endpoint: "inproc://loopback"}}, Transport: o,
				})
				require.NoError(t, err)
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- p.Run(ctx) }()
				submit(t, o, table, jobs)

				end(p, stop)
				require.NoError(t, <-ended)
				time.Sleep(time.Minute) // for the front to read all that was sent
				assert.EqualValues(t, jobs, table.Stats().Answered)
			})
		})
	}
}

// submit sends jobs to the proxy at inproc://up, which queues them.
func submit(t *testing.T, o transport.Options, table *loopback.Table, jobs int) {
	stage, err := loopback.NewRemote("inproc://up", o, table)
	require.NoError(t, err)
	background(t, stage.Run)
	for range jobs {
		p, err := table.Open(loopback.Ask{})
		require.NoError(t, err)
		payload := wire.Frames{[]byte("GET / HTTP/1.1\r\n\r\n")}
		require.NoError(t, stage.Submit(&loopback.Job{Info: *p.Info(), Payload: payload, Size: payload.Size()}, nil))
	}
	require.NoError(t, stage.Flush(t.Context()))
	synctest.Wait()
	require.Equal(t, jobs, table.Len())
}

// late is a connection to which writing takes its time.
type late struct{ net.Conn }

func (l late) Write(p []byte) (int, error) {
	time.Sleep(20 * time.Millisecond)
	return l.Conn.Write(p)
}

// heard collects interrupts.
type heard chan wire.Key

func (h heard) Interrupt(k wire.Key) { h <- k }

// A front that is stopped hard does not leave its jobs to workers who do not know
// that nobody waits any more.
func TestAFrontThatIsStoppedHardInterruptsEveryJob(t *testing.T) {
	const jobs = 20
	o := transport.Options{Inproc: transport.NewInproc()}
	behind := o
	behind.WrapConn = func(nc net.Conn) net.Conn { return late{nc} }
	front, err := cluster.NewFront(cluster.FrontConfig{
		HTTP:  httpfront.Config{Listen: "127.0.0.1:0"},
		Proxy: "inproc://up", Loopback: "inproc://loopback", Interrupt: "inproc://interrupt",
		Transport: behind,
	})
	require.NoError(t, err)
	stop := start(t, front)
	await(t, front.Ready())

	router := o
	router.Socket = transport.Router
	got := make(answers, jobs)
	proxy, err := transport.Listen("inproc://up", router, got)
	require.NoError(t, err)
	background(t, proxy.Run)
	interrupts := make(heard, jobs)
	hears, err := loopback.NewSubscriber([]string{"inproc://interrupt"}, o, interrupts, nil)
	require.NoError(t, err)
	background(t, hears.Run)

	ask := func() net.Conn {
		conn, err := net.Dial("tcp", front.Addr().String())
		require.NoError(t, err)
		_, err = conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
		require.NoError(t, err)
		return conn
	}
	// Interrupts come once the subscriber is known: one that does says so.
	for known := false; !known; {
		conn := ask()
		<-got
		require.NoError(t, conn.Close())
		select {
		case <-interrupts:
			known = true
		case <-time.After(300 * time.Millisecond):
		}
	}
	want := make(map[wire.Key]bool, jobs)
	for range jobs {
		conn := ask()
		defer func() { _ = conn.Close() }()
		info, err := wire.ParseInfo((<-got)[0])
		require.NoError(t, err)
		want[info.Key()] = true
	}
	require.NoError(t, stop())
	for range jobs {
		select {
		case k := <-interrupts:
			assert.True(t, want[k])
			delete(want, k)
		case <-time.After(5 * time.Second):
			require.Fail(t, "not all jobs were interrupted", "%d of %d were not", len(want), jobs)
		}
	}
}

// A handler may go on for a client that left and whose connection is closed.
// Shutdown waits for it, and Run does not call that a failure.
func TestShutdownWaitsForAJobWhoseClientLeft(t *testing.T) {
	running, left, release := make(chan struct{}), make(chan struct{}), make(chan struct{})
	w, err := cluster.NewWhole(cluster.WholeConfig{
		Stages: []cluster.Stage{{Name: "slow", Handler: pipeline.HandlerFunc(
			func(ctx context.Context, _ *pipeline.Job) (pipeline.Result, error) {
				close(running)
				<-ctx.Done()
				close(left)
				<-release
				return pipeline.Result{}, ctx.Err()
			})}},
		HTTP: httpfront.Config{Listen: "127.0.0.1:0"},
	})
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(context.Background()) }()
	await(t, w.Ready())
	conn, err := net.Dial("tcp", w.Addr().String())
	require.NoError(t, err)
	_, err = conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	require.NoError(t, err)
	<-running
	require.NoError(t, conn.Close())
	<-left

	grace, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	assert.ErrorIs(t, w.Shutdown(grace), context.DeadlineExceeded, "the job is not done")
	close(release)
	require.NoError(t, w.Shutdown(t.Context()))
	require.NoError(t, <-ended)
}
