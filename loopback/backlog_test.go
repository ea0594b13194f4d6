package loopback_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// receiver takes jobs.
type receiver chan transport.Message

func (receiver) PeerUp(*transport.Peer)          {}
func (receiver) PeerDown(*transport.Peer, error) {}
func (r receiver) Receive(_ *transport.Peer, batch []transport.Message) {
	for _, m := range batch {
		r <- m
	}
}

// Jobs whose clients leave while the proxy is away are nobody's: its successor
// does not get them, and they take no memory.
func TestJobsOfClientsThatLeftAreNotSent(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		stage, err := loopback.NewRemote("inproc://up", s.options, s.table)
		require.NoError(t, err)
		s.background(stage.Run)
		ask := func(text string) *loopback.Pending {
			p := open(t, s.table, loopback.Ask{})
			payload := wire.Frames{[]byte(text)}
			require.NoError(t, stage.Submit(&loopback.Job{Info: *p.Info(), Payload: payload, Size: payload.Size()}, nil))
			return p
		}
		stays := []*loopback.Pending{ask("first")}
		for range 1000 {
			ask(large).Abandon(loopback.ErrGone)
		}
		stays = append(stays, ask("second"), ask("third"))

		o := s.options
		o.Socket = transport.Router
		got := make(receiver, 2000)
		l, err := transport.Listen("inproc://up", o, got)
		require.NoError(t, err)
		s.background(l.Run)
		require.NoError(t, stage.Flush(t.Context()))
		time.Sleep(time.Minute) // virtual
		require.Len(t, got, len(stays))
		for i, text := range []string{"first", "second", "third"} {
			assert.Equal(t, text, string((<-got)[1]), "in their order")
			stays[i].Fail(nil)
		}
	})
}

func TestJobsThatWaitAreBounded(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		stage, err := loopback.NewRemote("inproc://up", s.options, s.table)
		require.NoError(t, err)
		stop := s.background(stage.Run)
		submit := func(size int) error {
			p := open(t, s.table, loopback.Ask{})
			payload := wire.Frames{[]byte(strings.Repeat("x", size))}
			err := stage.Submit(&loopback.Job{Info: *p.Info(), Payload: payload, Size: size}, nil)
			if err != nil {
				p.Fail(err)
			}
			return err
		}
		require.NoError(t, submit(63<<20))
		var full *transport.QueueFullError
		require.ErrorAs(t, submit(2<<20), &full)
		assert.Equal(t, "inproc://up", full.Peer)
		require.NoError(t, submit(1<<10), "a small one fits")
		assert.Equal(t, 2, s.table.Len())

		stop()
		require.NoError(t, stage.Flush(t.Context()), "nothing waits any more")
		require.ErrorIs(t, submit(1), transport.ErrClosed)
	})
}

// Of what kind a proxy is shows when it is there: what has waited for one of
// prime_server's is made fit for it, or refused.
func TestJobsThatWaitAreMadeFitForAPrimeServerProxy(t *testing.T) {
	for name, instance := range map[string]uint64{"prime_server": 0, "butterfly": 7} {
		t.Run(name, func(t *testing.T) {
			inSynctest(t, func(t *testing.T, s *site) {
				stage, err := loopback.NewRemote("inproc://up", s.options, s.table)
				require.NoError(t, err)
				unfit := errors.New("unfit")
				stage.FitForPrime(func(job *loopback.Job) error {
					if text := string(job.Payload.Frames()[0]); text == "bad" {
						return unfit
					}
					job.Payload = wire.Frames{[]byte("fit")}
					return nil
				})
				s.background(stage.Run)
				bad, good := open(t, s.table, loopback.Ask{}), open(t, s.table, loopback.Ask{})
				require.NoError(t, stage.Submit(&loopback.Job{Info: *bad.Info(), Payload: wire.Frames{[]byte("bad")}}, nil))
				require.NoError(t, stage.Submit(&loopback.Job{Info: *good.Info(), Payload: wire.Frames{[]byte("good")}}, nil))
				o := s.options
				o.Socket, o.Instance = transport.Router, instance
				got := make(receiver, 10)
				l, err := transport.Listen("inproc://up", o, got)
				require.NoError(t, err)
				s.background(l.Run)
				if instance == 0 {
					_, err = bad.Wait()
					require.ErrorIs(t, err, unfit)
					assert.Equal(t, "fit", string((<-got)[1]))
				} else {
					assert.Equal(t, "bad", string((<-got)[1]))
					assert.Equal(t, "good", string((<-got)[1]))
					bad.Fail(nil)
				}
				good.Fail(nil)
			})
		})
	}
}

// A proxy that drains gets no more jobs of a front, and one that closes is left
// once it has all that was sent: what comes meanwhile is its successor's.
func TestJobsWaitForTheSuccessorOfAProxyThatStops(t *testing.T) {
	for name, status := range map[string]wire.Status{"draining": {Draining: true}, "closing": {Draining: true, Closing: true}} {
		t.Run(name, func(t *testing.T) {
			inSynctest(t, func(t *testing.T, s *site) {
				stage, err := loopback.NewRemote("inproc://up", s.options, s.table)
				require.NoError(t, err)
				s.background(stage.Run)
				o := s.options
				o.Socket = transport.Router
				old := &closer{receiver: make(receiver, 10), peers: make(chan *transport.Peer, 1), gone: make(chan struct{}, 9)}
				l, err := transport.Listen("inproc://up", o, old)
				require.NoError(t, err)
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() { defer close(ended); _ = l.Run(ctx) }()
				peer := <-old.peers
				submit := func(text string) *loopback.Pending {
					p := open(t, s.table, loopback.Ask{})
					require.NoError(t, stage.Submit(&loopback.Job{Info: *p.Info(), Payload: wire.Frames{[]byte(text)}}, nil))
					return p
				}
				first := submit("first")
				assert.Equal(t, "first", string((<-old.receiver)[1]))
				l.Refuse()
				require.NoError(t, peer.Send(transport.Message{status.AppendTo(nil)}, nil))
				synctest.Wait()
				second := submit("second")
				time.Sleep(time.Second) // virtual
				assert.Empty(t, old.receiver)
				assert.Equal(t, status.Closing, len(old.gone) == 1, "it ends the connection")
				cancel()
				<-ended

				got := make(receiver, 10)
				next, err := transport.Listen("inproc://up", o, got)
				require.NoError(t, err)
				s.background(next.Run)
				assert.Equal(t, "second", string((<-got)[1]))
				first.Fail(nil)
				second.Fail(nil)
			})
		})
	}
}

// closer is a receiver that tells of its peers.
type closer struct {
	receiver
	peers chan *transport.Peer
	gone  chan struct{}
}

func (c *closer) PeerUp(p *transport.Peer)        { c.peers <- p }
func (c *closer) PeerDown(*transport.Peer, error) { c.gone <- struct{}{} }
