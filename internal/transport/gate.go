package transport

import (
	"errors"
	"net"
	"slices"
	"sync"
)

var errEvicted = errors.New("given up in favour of newer connections")

// gate bounds the handshakes under way. When it is full the oldest has to go:
// an attacker's silent connections make room for one another, and a peer that
// speaks is through before its turn comes.
type gate struct {
	limit int

	mu      sync.Mutex // guards running, closed
	running []*entrant // oldest first
	closed  bool
}

// entrant is a connection in its handshake.
type entrant struct {
	conn   net.Conn
	reason error // why it was turned out; guarded by the gate's mu
}

// enter lets conn in, and turns the oldest one out if it must. A closed gate
// turns conn out at once.
func (g *gate) enter(conn net.Conn) *entrant {
	e := &entrant{conn: conn}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		e.turnOut(ErrClosed)
		return e
	}
	if len(g.running) == g.limit {
		g.running[0].turnOut(errEvicted)
		g.running = slices.Delete(g.running, 0, 1)
	}
	g.running = append(g.running, e)
	return e
}

// leave ends a handshake; it returns why it was turned out, if it was.
func (g *gate) leave(e *entrant) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.running, e); i >= 0 {
		g.running = slices.Delete(g.running, i, i+1)
	}
	return e.reason
}

// close turns everybody out and lets nobody in any more.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for _, e := range g.running {
		e.turnOut(ErrClosed)
	}
	g.running = nil
}

// turnOut ends a handshake by closing its connection. The gate's mu is held.
func (e *entrant) turnOut(reason error) {
	e.reason = reason
	_ = e.conn.Close()
}
