package proxy

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/stretchr/testify/require"
)

func TestProxyWorkerLost(t *testing.T) {
	r := newRig(t, "inproc", nil)
	front, worker := r.front(5), r.worker(7)
	worker.beat(0, wire.Key{})
	worker.beat(1, wire.Key{})
	done := front.submit(butterflyInfo(1), "x")
	front.submit(butterflyInfo(2), "y")
	worker.job()
	worker.job()
	worker.beat(0, done)
	r.eventually(func(s wire.Status) bool { return s.Idle == 1 })
	worker.leave()
	r.expectAnswer(2, 502)
	r.eventually(func(s wire.Status) bool { return s.Workers == 0 && s.Slots == 0 && s.Idle == 0 })
	require.Empty(t, r.answers, "the job that was done is not lost")

	prime := r.worker(0)
	prime.send([]byte{})
	front.submit(butterflyInfo(3), "z")
	prime.job()
	prime.send([]byte{})
	r.eventually(func(s wire.Status) bool { return s.Idle == 1 })
	prime.leave()
	r.expectAnswer(3, 502) // maybe held
}

// stuckConn is a connection whose writes block once stuck, until it is closed.
type stuckConn struct {
	net.Conn
	stuck  *atomic.Bool
	closed chan struct{}
}

func (c *stuckConn) Write(b []byte) (int, error) {
	if c.stuck.Load() {
		<-c.closed
		return 0, net.ErrClosed
	}
	return c.Conn.Write(b)
}

func (c *stuckConn) Close() error {
	select {
	case <-c.closed:
	default:
		close(c.closed)
	}
	return c.Conn.Close()
}

// stickFirst returns a transport.Options.WrapConn by which the first worker's
// connection takes nothing once stuck.
func stickFirst(stuck *atomic.Bool) func(net.Conn) net.Conn {
	var first atomic.Bool
	return func(conn net.Conn) net.Conn {
		if conn.LocalAddr().String() != "down" || first.Swap(true) {
			return conn
		}
		return &stuckConn{conn, stuck, make(chan struct{})}
	}
}

// TestProxyGivesUnsentJobsAgain: a worker that takes nothing is lost with its
// job; nothing of it has reached that worker, so that another gets it, before
// the jobs that came later.
func TestProxyGivesUnsentJobsAgain(t *testing.T) {
	var stuck atomic.Bool
	r := newRig(t, "inproc", func(c *Config) { c.Transport.WrapConn = stickFirst(&stuck) })
	front, sick := r.front(5), r.worker(7)
	for _, slot := range []uint16{2, 1, 0} {
		sick.beat(slot, wire.Key{})
	}
	r.eventually(func(s wire.Status) bool { return s.Idle == 3 })
	front.submit(butterflyInfo(1), "sent")
	sick.job()
	stuck.Store(true)
	for id := range uint32(3) {
		front.submit(butterflyInfo(2+id), "unsent, or queued")
	}
	r.eventually(func(s wire.Status) bool { return s.Idle == 0 && s.Queued == 1 })
	sick.leave()
	r.expectAnswer(1, 502)

	well := r.worker(8)
	for id := range uint32(3) {
		well.beat(uint16(id), wire.Key{})
		info, payload := well.job()
		require.Equal(t, 2+id, info.ID, "in their order")
		require.EqualValues(t, 1, info.Hops, "it has not entered the stage again")
		require.Equal(t, "unsent, or queued", string(payload[0]))
	}
	require.Empty(t, r.answers)
}

// TestProxyRefusesUnsentJobsAtTheEnd: what had not left for its worker waits
// as queued jobs do.
func TestProxyRefusesUnsentJobsAtTheEnd(t *testing.T) {
	var stuck atomic.Bool
	r := newRig(t, "inproc", func(c *Config) { c.Transport.WrapConn = stickFirst(&stuck) })
	front, sick := r.front(5), r.worker(7)
	sick.beat(0, wire.Key{})
	r.eventually(func(s wire.Status) bool { return s.Idle == 1 })
	stuck.Store(true)
	front.submit(butterflyInfo(1), "x")
	r.eventually(func(s wire.Status) bool { return s.Idle == 0 })
	r.cancel()
	r.expectAnswer(1, 503)
}

// TestProxyStuckPrimeWorker: beats that cross jobs cannot make the proxy
// forget one that has never left.
func TestProxyStuckPrimeWorker(t *testing.T) {
	var stuck atomic.Bool
	r := newRig(t, "inproc", func(c *Config) { c.Transport.WrapConn = stickFirst(&stuck) })
	front, sick := r.front(5), r.worker(0)
	sick.send([]byte{})
	r.eventually(func(s wire.Status) bool { return s.Idle == 1 })
	stuck.Store(true)
	for id := range uint32(4) {
		front.submit(butterflyInfo(id), "x")
	}
	r.eventually(func(s wire.Status) bool { return s.Queued == 3 })
	sick.send([]byte{})
	r.eventually(func(s wire.Status) bool { return s.Queued == 2 })
	for range 5 {
		sick.send([]byte{})
	}
	require.NoError(t, sick.dialer.Flush(context.Background()))
	sick.leave()
	r.eventually(func(s wire.Status) bool { return s.Workers == 0 })
	require.EqualValues(t, 4, r.Status().Queued)

	well := r.worker(8)
	for id := range uint32(4) {
		well.beat(uint16(id), wire.Key{})
		info, _ := well.job()
		require.Equal(t, id, info.ID, "in their order")
	}
	require.Empty(t, r.answers)
}

// TestProxySendFails: a connection has ended, and nobody has told yet.
func TestProxySendFails(t *testing.T) {
	r := newRig(t, "inproc", nil)
	r.worker(7).beat(0, wire.Key{})
	r.eventually(func(s wire.Status) bool { return s.Idle == 1 })
	e, _, _, err := open(transport.Message{butterflyInfo(1).AppendTo(nil), []byte("x")})
	require.NoError(t, err)
	r.mu.Lock()
	for peer := range r.workers {
		peer.Close(nil)
	}
	err = r.balancer.Submit(&e.Job)
	late := r.assign(time.Now())
	queued := r.balancer.Queued()
	r.mu.Unlock()
	require.NoError(t, err)
	require.Empty(t, late)
	require.Equal(t, 1, queued, "the job is back")
	well := r.worker(8)
	well.beat(1, wire.Key{})
	info, _ := well.job()
	require.EqualValues(t, 1, info.ID)
}
