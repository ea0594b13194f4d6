package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// link connects the slots of one worker process to the proxies of its stage: one
// as a rule, several where the stage has them. Each slot is at home at one of them
// at a time.
type link struct {
	names    *transport.Names
	roams    bool // there may be several proxies
	options  transport.Options
	instance uint64
	refuse   func(job *loopback.Job, status int, reason string)
	arrived  func(wire.Key) // nil: nobody wants to know
	log      *slog.Logger
	warn     rate.Sometimes
	places   []*place

	mu    sync.Mutex // guards the fields below, and the state of homes and places
	homes []*home
	start func(*home) // starts the connections of a home; nil before run
	ticks uint64      // of run's ticker
	cut   bool        // run has ended: no job comes any more
	calm  int         // ticks since a proxy was starving
	pause int         // ticks until slots may move again
}

// tick is how often slots are looked at that hold outcomes which do not leave:
// a slot is held for one to two ticks at most.
const tick = 50 * time.Millisecond

// newLink returns a link to the proxies at endpoints, which commas separate.
func newLink(endpoints string, slots int, o transport.Options, log *slog.Logger) (*link, error) {
	o.Socket, o.DropOnDisconnect = transport.Dealer, true // beats of an old connection mean nothing on a new one
	all := loopback.Endpoints(endpoints)
	names, err := transport.NewNames(all, o)
	if err != nil {
		return nil, fmt.Errorf("pipeline: upstream proxy: %w", err)
	}
	l := &link{
		names:    names,
		roams:    len(all) > 1 || !names.Fixed(),
		options:  o,
		instance: o.Instance,
		log:      log,
		warn:     rate.Sometimes{Interval: time.Second},
	}
	for n := range slots {
		l.places = append(l.places, newPlace(l, n))
	}
	for _, e := range all {
		if l.home(e) != nil {
			return nil, fmt.Errorf("pipeline: upstream proxy: the endpoint %q is there twice", e)
		}
		if err := l.add(e); err != nil {
			return nil, err
		}
	}
	if !l.roams {
		for _, p := range l.places {
			p.home = l.homes[0]
		}
	}
	return l, nil
}

// add makes a home. The caller holds the lock, or nobody else knows l.
func (l *link) add(endpoint string) error {
	h := &home{link: l, endpoint: endpoint, named: true, changed: make(chan struct{}, 1)}
	for n := range l.places {
		h.conns = append(h.conns, &linkConn{home: h, number: n})
	}
	if _, err := transport.NewDialer(endpoint, l.options, nil); err != nil {
		return fmt.Errorf("pipeline: upstream proxy: %w", err)
	}
	l.homes = append(l.homes, h)
	return nil
}

// home returns the home at an endpoint, or nil.
func (l *link) home(endpoint string) *home {
	for _, h := range l.homes {
		if h.endpoint == endpoint {
			return h
		}
	}
	return nil
}

// run keeps the connections until ctx ends, and joins what it started.
func (l *link) run(ctx context.Context) {
	var parts sync.WaitGroup
	defer parts.Wait()
	defer l.end()
	l.mu.Lock()
	l.start = func(h *home) {
		var own context.Context
		own, h.stop = context.WithCancel(ctx)
		parts.Go(func() { h.run(own) })
	}
	l.mu.Unlock()
	parts.Go(func() { l.names.Run(ctx, l.follow) })
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			l.tick()
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
	if l.roams {
		l.calm++
		l.pause = max(0, l.pause-1)
		l.settle()
	}
}

// follow takes what the endpoints stand for now. A proxy that is not among it any
// more is left as one that drains is.
func (l *link) follow(endpoints []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		return
	}
	for _, h := range slices.Clone(l.homes) {
		if h.named = slices.Contains(endpoints, h.endpoint); !h.named && !h.up() {
			l.remove(h)
		}
	}
	for _, e := range endpoints {
		if l.home(e) == nil {
			if err := l.add(e); err != nil {
				l.log.Error("proxy left out", "endpoint", e, "err", err)
			}
		}
	}
	for _, h := range l.homes {
		if h.stop == nil {
			l.start(h)
		}
	}
}

// remove forgets a home that is not connected. The caller holds the lock.
func (l *link) remove(h *home) {
	if i := slices.Index(l.homes, h); i >= 0 {
		l.homes = slices.Delete(l.homes, i, i+1)
	}
	if h.stop != nil {
		h.stop()
	}
	for _, p := range l.places {
		if p.home == h {
			p.home = nil
		}
		if p.want == h {
			p.want = nil
		}
	}
}

// place returns the slot that a job on connection c is for, nil if it is at home
// elsewhere. A job that could not be given the extension names none: any idle one
// takes it.
func (l *link) place(c *linkConn, i *wire.Info) *place {
	l.mu.Lock()
	defer l.mu.Unlock()
	var p *place
	switch {
	case c.home.prime:
		p = l.places[c.number]
	case i.Extended && int(i.Slot) < len(l.places):
		p = l.places[i.Slot]
	default:
		for _, other := range l.places {
			if other.home == c.home && (p == nil || p.state != idle) {
				p = other
			}
		}
	}
	if p == nil || p.home != c.home {
		return nil
	}
	return p
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

// sockets returns what all connections have together.
func (l *link) sockets() (all transport.Stats) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.homes {
		for _, c := range h.conns {
			if d := c.dialer.Load(); d != nil {
				all = all.Plus(d.Stats())
			}
			all.Connections += c.before.Load()
		}
	}
	return all
}

// withdrawn takes a proxy's receipt: no job is on its way to the slot.
func (l *link) withdrawn(from peer, b wire.Beat) error {
	if b.Worker != l.instance || int(b.Slot) >= len(l.places) {
		return fmt.Errorf("pipeline: receipt for a slot %d that is not ours", b.Slot)
	}
	if b.Tell {
		return nil // that was no withdrawal: see ask
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.places[b.Slot].released(from)
	return nil
}
