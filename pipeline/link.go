package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// link connects the slots of one worker process to its stage's proxy.
//
// To a butterfly proxy one connection carries all slots. prime_server's proxy
// knows one job per connection, so towards it every slot has its own: which
// kind it is shows when the first connection is up, and may change when the
// proxy is replaced.
type link struct {
	endpoint string
	options  transport.Options
	instance uint64
	refuse   func(job *loopback.Job, status int, reason string)
	arrived  func(wire.Key) // nil: nobody wants to know
	log      *slog.Logger
	warn     rate.Sometimes
	conns    []*linkConn
	places   []*place
	changed  chan struct{} // prime has changed

	mu    sync.Mutex // guards the fields below, and the state of conns and places
	prime bool
	ticks uint64 // of run's ticker
	cut   bool   // run has ended: no job comes any more
}

// tick is how often slots are looked at that hold outcomes which do not leave:
// a slot is held for one to two ticks at most.
const tick = 50 * time.Millisecond

// linkConn is one connection of a link.
type linkConn struct {
	link   *link
	number int
	dialer atomic.Pointer[transport.Dialer] // nil: it does not run
	before atomic.Uint64                    // connections by earlier dialers
	peer   *transport.Peer                  // nil while down; guarded by link.mu
}

func newLink(endpoint string, slots int, o transport.Options, log *slog.Logger) (*link, error) {
	o.Socket, o.DropOnDisconnect = transport.Dealer, true // beats of an old connection mean nothing on a new one
	l := &link{
		endpoint: endpoint,
		options:  o,
		instance: o.Instance,
		log:      log,
		warn:     rate.Sometimes{Interval: time.Second},
		changed:  make(chan struct{}, 1),
	}
	for n := range slots {
		l.conns = append(l.conns, &linkConn{link: l, number: n})
		l.places = append(l.places, newPlace(l, n))
	}
	if _, err := transport.NewDialer(endpoint, o, nil); err != nil {
		return nil, fmt.Errorf("pipeline: upstream proxy: %w", err)
	}
	return l, nil
}

// run keeps one connection until ctx ends.
func (c *linkConn) run(ctx context.Context) {
	d, err := transport.NewDialer(c.link.endpoint, c.link.options, c)
	if err != nil {
		panic(err) // newLink has tried it
	}
	c.dialer.Store(d)
	_ = d.Run(ctx)
	c.dialer.Store(nil)
	c.before.Add(d.Stats().Connections)
}

// sockets returns what all connections have together.
func (l *link) sockets() (all transport.Stats) {
	for _, c := range l.conns {
		if d := c.dialer.Load(); d != nil {
			all = all.Plus(d.Stats())
		}
		all.Connections += c.before.Load()
	}
	return all
}

// run keeps the connections until ctx ends, and joins what it started.
func (l *link) run(ctx context.Context) {
	var conns sync.WaitGroup
	defer conns.Wait()
	conns.Go(func() { l.conns[0].run(ctx) })
	more := func() {}
	defer func() {
		more()
		l.end()
	}()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			l.tick()
		case <-l.changed:
			more()
			more = l.runOthers(ctx)
		}
	}
}

// end lets go of slots that hold outcomes or wait to be told that they may leave.
func (l *link) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	for _, p := range l.places {
		if p.state == holding {
			p.becomeIdle()
		}
		p.tell()
	}
}

// tick looks at every slot.
func (l *link) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ticks++
	for _, p := range l.places {
		p.tick()
	}
}

// runOthers starts the connections of the other slots where the proxy wants
// one for each, and returns what stops and joins them.
func (l *link) runOthers(ctx context.Context) (stop func()) {
	l.mu.Lock()
	prime := l.prime
	l.mu.Unlock()
	if !prime {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var conns sync.WaitGroup
	for _, c := range l.conns[1:] {
		conns.Go(func() { c.run(ctx) })
	}
	return func() {
		cancel()
		conns.Wait()
	}
}

// carrier returns the connection that carries a slot's beats now, nil if it is
// down. It is called with the lock held.
func (l *link) carrier(slot int) *transport.Peer {
	if l.prime {
		return l.conns[slot].peer
	}
	return l.conns[0].peer
}

// PeerUp implements transport.Handler: idle slots say so to the new peer.
func (c *linkConn) PeerUp(p *transport.Peer) {
	l := c.link
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.number > 0 && p.Instance() != 0 {
		return // the proxy was replaced, as the first connection is about to see
	}
	c.peer = p
	if prime := p.Instance() == 0; c.number == 0 && prime != l.prime {
		l.prime = prime
		select {
		case l.changed <- struct{}{}:
		default:
		}
	}
	for _, pl := range l.places {
		pl.tell()
	}
}

// PeerDown implements transport.Handler.
func (c *linkConn) PeerDown(p *transport.Peer, _ error) {
	l := c.link
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.peer == p {
		c.peer = nil
	}
	for _, pl := range l.places {
		if pl.leaving {
			pl.tell()
		}
	}
}

// Receive implements transport.Handler: jobs, and receipts of withdrawals.
func (c *linkConn) Receive(p *transport.Peer, batch []transport.Message) {
	for _, m := range batch {
		if err := c.take(m); err != nil {
			c.link.warn.Do(func() { c.link.log.Warn("message refused", "peer", p.Remote(), "err", err) })
		}
	}
}

func (c *linkConn) take(m transport.Message) error {
	if len(m) == 1 {
		if b, err := wire.ParseBeat(m[0]); err == nil && b.Withdraw {
			return c.link.withdrawn(b)
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
	if c.link.arrived != nil {
		defer c.link.arrived(key)
	}
	if !c.link.place(c, &info).give(job) {
		c.link.refuse(job, 503, "the worker has no place for the job")
		return fmt.Errorf("pipeline: the proxy sent more jobs than slots are idle")
	}
	return nil
}

// place returns the slot that a job on connection c is for. A job that could
// not be given the extension names none: any idle one takes it.
func (l *link) place(c *linkConn, i *wire.Info) *place {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.prime:
		return l.places[c.number]
	case i.Extended && int(i.Slot) < len(l.places):
		return l.places[i.Slot]
	}
	for _, pl := range l.places {
		if pl.state == idle {
			return pl
		}
	}
	return l.places[0]
}

// held calls add with the keys of the jobs that slots have.
func (l *link) held(add func(wire.Key)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.places {
		for _, key := range p.waiting[:p.given] {
			add(key)
		}
		if p.state == working || p.state == holding {
			add(p.done) // before the first job it is nobody's
		}
	}
}

// withdrawn takes the proxy's receipt: no job is on its way to the slot.
func (l *link) withdrawn(b wire.Beat) error {
	if b.Worker != l.instance || int(b.Slot) >= len(l.places) {
		return fmt.Errorf("pipeline: receipt for a slot %d that is not ours", b.Slot)
	}
	l.places[b.Slot].close()
	return nil
}
