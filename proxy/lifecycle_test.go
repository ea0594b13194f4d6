package proxy

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/stretchr/testify/require"
)

// TestProxyDrainedNeedsATick: a forwarded job may come behind the beat.
func TestProxyDrainedNeedsATick(t *testing.T) {
	p, err := New(Config{Upstream: "inproc://up", Downstream: "inproc://down"})
	require.NoError(t, err)
	p.came = 1
	require.False(t, p.calm())
	require.True(t, p.calm())
	p.came++
	require.False(t, p.calm())
}

// A proxy that drains stays for the parts of groups that it has heard of: others
// would take them elsewhere.
func TestProxyStaysForPartsThatAreOnTheirWay(t *testing.T) {
	p, err := New(Config{Stage: "sum", Upstream: "inproc://up", Downstream: "inproc://down"})
	require.NoError(t, err)
	p.draining = true
	opening := partJob(1, wire.Piece{Total: 2, Opening: true})
	job, err := p.gatherer.Take(opening, time.Now())
	require.NoError(t, err)
	require.Nil(t, job)
	for range 3 * drainTicks {
		p.leave()
		require.False(t, p.closing)
	}
	for i := range uint32(2) {
		job, err = p.gatherer.Take(partJob(1, wire.Piece{Index: i, Total: 2}), time.Now())
		require.NoError(t, err)
	}
	require.NotNil(t, job)
	require.False(t, p.calm())
	require.True(t, p.calm(), "and closes when they have come")
}

func TestProxyShutdownDrains(t *testing.T) {
	r := newRig(t, "inproc", nil)
	front, prime, worker := r.front(5), r.front(0), r.worker(7)
	worker.beat(0, wire.Key{})
	key := front.submit(butterflyInfo(1), "held")
	worker.job()
	ended := make(chan error, 1)
	go func() { ended <- r.Shutdown(context.Background()) }()
	require.Eventually(t, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.draining
	}, patience, time.Millisecond)

	prime.submit(&wire.Info{ID: 2, Time: 1000, Version: 1}, "new")
	r.expectAnswer(2, 503)
	forwarded := butterflyInfo(3)
	forwarded.Hops = 1
	front.submit(forwarded, "between stages")
	front.submit(butterflyInfo(4), "on its way")
	r.eventually(func(s wire.Status) bool { return s.Queued == 2 })
	for range 2 {
		worker.beat(0, key)
		info, _ := worker.job()
		key = info.Key()
		require.Empty(t, ended)
	}
	worker.beat(0, key)
	require.NoError(t, receive(t, ended))
	require.NoError(t, receive(t, r.ended))
	require.NoError(t, r.Shutdown(context.Background()), "twice is once")
	require.ErrorIs(t, r.Run(context.Background()), ErrRunning)
	require.Empty(t, r.answers)
}

// TestProxyClosesUnderLoad: a proxy that does not run empty frees its endpoint all
// the same, has its peers finish, and takes all that they had sent.
func TestProxyClosesUnderLoad(t *testing.T) {
	for _, scheme := range []string{"inproc", "ipc", "tcp"} {
		t.Run(scheme, func(t *testing.T) {
			r := newRig(t, scheme, nil)
			worker := r.worker(7)
			worker.beat(0, wire.Key{})
			sender := &sender{peers: make(chan *transport.Peer, 1)}
			o := transport.Options{Socket: transport.Dealer, Instance: 5, Inproc: r.space}
			d, err := transport.NewDialer(r.UpstreamEndpoint(), o, sender)
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(context.Background())
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				_ = d.Run(ctx)
			}()
			t.Cleanup(func() { cancel(); <-gone })
			send := func(id uint32) wire.Key {
				i := butterflyInfo(id)
				i.Hops = 1
				require.NoError(t, d.Send([][]byte{i.AppendTo(nil), []byte("x")}, nil))
				return i.Key()
			}
			held := send(1)
			worker.job()
			ended := make(chan error, 1)
			go func() { ended <- r.Shutdown(context.Background()) }()
			peer := receive(t, sender.peers) // it was told that the proxy closes
			const more = 1000
			for id := range uint32(more) {
				send(2 + id)
			}
			require.NoError(t, d.Flush(context.Background()))
			peer.Finish()
			send(9999) // for the successor
			for range more {
				worker.beat(0, held)
				info, _ := worker.job()
				held = info.Key()
			}
			require.Empty(t, ended)
			worker.beat(0, held)
			require.NoError(t, receive(t, ended))
			require.Empty(t, r.answers)

			next, err := transport.Listen(r.UpstreamEndpoint(), transport.Options{Socket: transport.Router, Inproc: r.space}, nil)
			require.NoError(t, err, "the endpoint is free")
			next.Close()
		})
	}
}

// sender hands on its peer when that closes.
type sender struct{ peers chan *transport.Peer }

func (s *sender) PeerUp(*transport.Peer)          {}
func (s *sender) PeerDown(*transport.Peer, error) {}
func (s *sender) Receive(p *transport.Peer, batch []transport.Message) {
	for _, m := range batch {
		if status, err := wire.ParseStatus(m[0]); err == nil && status.Closing {
			select {
			case s.peers <- p:
			default:
			}
		}
	}
}

// TestProxyStopsHard: what waits is refused, what a worker has is not: it may
// still answer.
func TestProxyStopsHard(t *testing.T) {
	for _, how := range []string{"shutdown gives up", "context ends"} {
		t.Run(how, func(t *testing.T) {
			r := newRig(t, "inproc", nil)
			front, worker := r.front(5), r.worker(7)
			worker.beat(0, wire.Key{})
			front.submit(butterflyInfo(1), "held")
			worker.job()
			front.submit(butterflyInfo(2), "waits")
			r.eventually(func(s wire.Status) bool { return s.Queued == 1 })
			if how == "context ends" {
				r.cancel()
			} else {
				ctx, cancel := context.WithCancelCause(context.Background())
				cancel(errors.New("enough"))
				require.EqualError(t, r.Shutdown(ctx), "enough")
			}
			require.NoError(t, receive(t, r.ended))
			r.expectAnswer(2, 503)
			require.Empty(t, r.answers)
		})
	}
}

func TestProxyShutdownBeforeRun(t *testing.T) {
	p, err := New(Config{Upstream: "tcp://127.0.0.1:0", Downstream: "tcp://127.0.0.1:0"})
	require.NoError(t, err)
	require.NoError(t, p.Shutdown(context.Background()))
	require.ErrorIs(t, p.Run(context.Background()), ErrClosed)
}

func TestProxyBindErrors(t *testing.T) {
	r := newRig(t, "tcp", nil)
	for _, c := range []Config{
		{Upstream: r.UpstreamEndpoint(), Downstream: "tcp://127.0.0.1:0"},
		{Upstream: "tcp://127.0.0.1:0", Downstream: r.UpstreamEndpoint()},
	} {
		p, err := New(c)
		require.NoError(t, err)
		var bind *transport.BindError
		require.ErrorAs(t, p.Run(context.Background()), &bind)
		require.NoError(t, p.Shutdown(context.Background()))
	}
}

func TestConfigValidate(t *testing.T) {
	good := Config{Upstream: "tcp://127.0.0.1:0", Downstream: "tcp://127.0.0.1:0"}
	require.NoError(t, good.Validate())
	for want, spoil := range map[string]func(*Config){
		"upstream":   func(c *Config) { c.Upstream = "nonsense" },
		"downstream": func(c *Config) { c.Downstream = "" },
		"transport":  func(c *Config) { c.Transport.MaxPeers = -1 },
		"balancer":   func(c *Config) { c.Balancer.MaxQueue = -1 },
		"max slots":  func(c *Config) { c.MaxSlots = 1 << 17 },
		"refusals":   func(c *Config) { c.Answerer = &rig{} },
	} {
		c := good
		spoil(&c)
		_, err := New(c)
		require.ErrorContains(t, err, want)
	}
	all := Config{MaxSlots: -1}
	require.Equal(t, 3, strings.Count(all.Validate().Error(), "proxy: "), "every problem is told")
}

// TestProxyWithoutLoopback: nobody can be told, but the log is.
func TestProxyWithoutLoopback(t *testing.T) {
	r := newRig(t, "inproc", func(c *Config) { c.Answerer, c.Render, c.Balancer.MaxQueue = nil, nil, 1 })
	front := r.front(5)
	front.submit(butterflyInfo(1), "waits")
	front.submit(butterflyInfo(2), "too much")
	r.logs.expect(t, "its front cannot be told")
}
