package loopback_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// teller is a proxy's upstream socket that tells what it is told to.
type teller struct {
	peer chan *transport.Peer
	jobs int
}

func (f *teller) PeerUp(p *transport.Peer)                         { f.peer <- p }
func (f *teller) PeerDown(*transport.Peer, error)                  {}
func (f *teller) Receive(_ *transport.Peer, b []transport.Message) { f.jobs += len(b) }

// A front does not send jobs to a stage that has just said that it is full, but
// asks again before what waits there is gone.
func TestAFullStageIsNotAskedForAWhile(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		proxy := &teller{peer: make(chan *transport.Peer, 1)}
		o := s.options
		o.Socket, o.Instance = transport.Router, 7
		l, err := transport.Listen("inproc://up", o, proxy)
		require.NoError(t, err)
		s.background(l.Run)
		stage, err := loopback.NewRemote("inproc://up", s.options, s.table)
		require.NoError(t, err)
		s.background(stage.Run)
		other, err := loopback.NewRemote("inproc://up", s.options, nil)
		require.NoError(t, err)
		p := <-proxy.peer
		tell := func(status wire.Status) {
			require.NoError(t, p.Send(transport.Message{status.AppendTo(nil)}, nil))
			synctest.Wait()
		}
		submit := func() error {
			return stage.Submit(&loopback.Job{Payload: wire.Frames{[]byte("x")}}, make(fates, 10))
		}
		require.NoError(t, submit())
		assert.Zero(t, stage.Wait())

		tell(wire.Status{Full: true, Wait: 10 * time.Second})
		var full *loopback.StageFullError
		require.ErrorAs(t, submit(), &full)
		assert.Equal(t, 10*time.Second, full.RetryAfter())
		assert.Equal(t, 10*time.Second, stage.Wait())
		time.Sleep(140 * time.Millisecond)
		require.ErrorAs(t, submit(), &full)
		time.Sleep(20 * time.Millisecond)
		require.NoError(t, submit(), "what was told is old")

		tell(wire.Status{Full: true, Wait: 20 * time.Millisecond})
		require.ErrorAs(t, submit(), &full)
		time.Sleep(11 * time.Millisecond)
		require.NoError(t, submit(), "half of what waits is gone")

		tell(wire.Status{Full: true})
		require.NoError(t, submit(), "it is not known how long it will be full")
		tell(wire.Status{Full: true, Wait: time.Minute})
		tell(wire.Status{Wait: time.Minute})
		require.NoError(t, submit(), "it is not full any more")
		tell(wire.Status{Full: true, Wait: time.Minute})
		require.NoError(t, other.Submit(&loopback.Job{Payload: wire.Frames{[]byte("x")}}, nil), "of a worker")
		l.Close()
		synctest.Wait()
		require.NoError(t, submit(), "the successor will not be")
		assert.Equal(t, 5, proxy.jobs)
	})
}

// Of several proxies a stage's front knows how many slots there are, and that there
// is too much to do: jobs wait, and no proxy has an idle worker.
func TestSeveralProxiesAreBusyTogether(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		s.forget()
		a, stopA := s.proxy("inproc://a", 1, wire.Status{Slots: 8}, 0)
		b, _ := s.proxy("inproc://b", 2, wire.Status{Slots: 4, Idle: 1}, 0)
		stage := s.proxies(s.table, "inproc://a", "inproc://b")
		is := func(slots int, backlogged bool) {
			t.Helper()
			n, busy := stage.Busy()
			assert.Equal(t, slots, n)
			assert.Equal(t, backlogged, busy)
		}
		is(12, false)
		a.say(wire.Status{Slots: 8, Queued: 5, Wait: 3 * time.Second})
		is(12, false) // the other has an idle worker
		b.say(wire.Status{Slots: 4, Wait: 2 * time.Second})
		is(12, true)
		assert.Equal(t, 2*time.Second, stage.Wait())
		b.say(wire.Status{Slots: 4, Idle: 4, Draining: true})
		is(8, true) // nothing new goes there
		assert.Equal(t, 3*time.Second, stage.Wait())
		stopA()
		synctest.Wait()
		is(0, false)
	})
}

func TestASingleProxyIsBusyAsItSays(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		a, _ := s.proxy("inproc://a", 1, wire.Status{Slots: 8, Idle: 1, Queued: 1}, 0)
		var stage loopback.Stage = s.proxies(nil, "inproc://a")
		gauge, ok := stage.(loopback.Gauge)
		require.True(t, ok)
		slots, busy := gauge.Busy()
		assert.Equal(t, 8, slots)
		assert.False(t, busy)
		a.say(wire.Status{Slots: 8, Queued: 1, Wait: time.Second})
		_, busy = gauge.Busy()
		assert.True(t, busy)
		assert.Equal(t, time.Second, gauge.Wait())
	})
}
