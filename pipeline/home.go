package pipeline

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// home is one proxy of the stage, with the connections to it.
//
// To a butterfly proxy one connection carries all slots that are at home there.
// prime_server's proxy knows one job per connection, so towards it every slot has
// its own: which kind it is shows when the first connection is up, and may change
// when the proxy is replaced.
type home struct {
	link     *link
	endpoint string
	conns    []*linkConn
	changed  chan struct{} // prime has changed

	// guarded by link.mu
	named  bool // it is among what the endpoints stand for
	prime  bool
	told   bool // status is of this connection
	status wire.Status
	stop   context.CancelFunc
}

// linkConn is one connection to a home.
type linkConn struct {
	home   *home
	number int
	dialer atomic.Pointer[transport.Dialer] // nil: it does not run
	before atomic.Uint64                    // connections by earlier dialers
	peer   peer                             // nil while down; guarded by link.mu
}

// peer is a connection that is up: a *transport.Peer.
type peer interface {
	Send(m transport.Message, n transport.Notifier) error
	Close(err error)
	Instance() uint64
	Remote() string
}

// up reports whether the proxy is connected. The caller holds the lock.
func (h *home) up() bool { return h.conns[0].peer != nil }

// run keeps the connections until ctx ends.
func (h *home) run(ctx context.Context) {
	var conns sync.WaitGroup
	defer conns.Wait()
	conns.Go(func() { h.conns[0].run(ctx) })
	more := func() {}
	defer func() { more() }()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.changed:
			more()
			more = h.runOthers(ctx)
		}
	}
}

// runOthers starts the connections of the other slots where the proxy wants
// one for each, and returns what stops and joins them.
func (h *home) runOthers(ctx context.Context) (stop func()) {
	h.link.mu.Lock()
	prime := h.prime && len(h.link.homes) == 1
	h.link.mu.Unlock()
	if !prime {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var conns sync.WaitGroup
	for _, c := range h.conns[1:] {
		conns.Go(func() { c.run(ctx) })
	}
	return func() {
		cancel()
		conns.Wait()
	}
}

// run keeps one connection until ctx ends.
func (c *linkConn) run(ctx context.Context) {
	d, err := transport.NewDialer(c.home.endpoint, c.home.link.options, c)
	if err != nil {
		panic(err) // add has tried it
	}
	c.dialer.Store(d)
	_ = d.Run(ctx)
	c.dialer.Store(nil)
	c.before.Add(d.Stats().Connections)
}

// PeerUp implements transport.Handler: idle slots say so to the new peer.
func (c *linkConn) PeerUp(p *transport.Peer) { c.cameUp(p) }

func (c *linkConn) cameUp(p peer) {
	h, l := c.home, c.home.link
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.number > 0 && p.Instance() != 0 {
		return // the proxy was replaced, as the first connection is about to see
	}
	c.peer = p
	if prime := p.Instance() == 0; c.number == 0 && prime != h.prime {
		h.prime = prime
		select {
		case h.changed <- struct{}{}:
		default:
		}
	}
	if c.number == 0 && l.roams {
		h.told = false
		if h.prime && len(l.homes) > 1 {
			l.log.Error("prime_server's proxy cannot be one of several: it gets no slots", "endpoint", h.endpoint)
		}
		l.ask(p)
		l.settle()
	}
	for _, pl := range l.places {
		pl.tell()
	}
}

// PeerDown implements transport.Handler.
func (c *linkConn) PeerDown(p *transport.Peer, _ error) { c.wentDown(p) }

func (c *linkConn) wentDown(p peer) {
	h, l := c.home, c.home.link
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.peer == p {
		c.peer = nil
	}
	if l.roams && c.number == 0 {
		h.told = false
		l.names.Look()
		l.leave(h)
	}
	for _, pl := range l.places {
		if pl.leaving {
			pl.tell()
		}
	}
}

// Receive implements transport.Handler: jobs, receipts of withdrawals, and, if
// there may be several proxies, their status.
func (c *linkConn) Receive(p *transport.Peer, batch []transport.Message) {
	for _, m := range batch {
		if err := c.take(p, m); err != nil {
			l := c.home.link
			l.warn.Do(func() { l.log.Warn("message refused", "peer", p.Remote(), "err", err) })
		}
	}
}

func (c *linkConn) take(from peer, m transport.Message) error {
	l := c.home.link
	if len(m) == 1 {
		if b, err := wire.ParseBeat(m[0]); err == nil && b.Withdraw {
			return l.withdrawn(from, b)
		}
		if s, err := wire.ParseStatus(m[0]); err == nil {
			l.heard(c.home, s)
			return nil
		}
	}
	if len(m) == 0 {
		return fmt.Errorf("pipeline: an empty message is no job")
	}
	info, err := wire.ParseInfo(m[0])
	if err != nil {
		return err
	}
	payload := wire.Frames(m[1:])
	job := &loopback.Job{Info: info, Payload: payload, Size: payload.Size()}
	key := info.Key() // the job is its slot's in a moment
	if l.arrived != nil {
		defer l.arrived(key)
	}
	if pl := l.place(c, &info); pl == nil || !pl.give(job) {
		l.refuse(job, 503, "the worker has no place for the job")
		return fmt.Errorf("pipeline: the proxy sent more jobs than slots are idle")
	}
	return nil
}
