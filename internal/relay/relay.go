// Package relay is a TCP network that can be cut: it stands between processes
// and stalls, resets, refuses and heals. It is for chaos and for tests.
package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Fault is what a Relay does to connections.
type Fault int

// The faults.
const (
	Heal      Fault = iota // none: bytes pass
	Stall                  // nothing passes, not even an end; what was sent waits
	StallUp                // the same, of what the side that connected sends
	StallDown              // the same, of what it is sent
	Refuse                 // connections are reset, new ones too
)

// Relay is a TCP network of one connection's width: it listens at one address,
// connects to another, and can be cut. Its methods may be called concurrently.
type Relay struct {
	listener net.Listener
	target   string

	mu     sync.Mutex // guards the fields below
	fault  Fault
	healed chan struct{} // closed, and replaced, when the fault changes
	pairs  map[*pair]bool
}

// pair is one connection through the relay.
type pair struct{ client, server *net.TCPConn }

// New listens at address, which is host:port. Run passes connections on to
// target.
func New(address, target string) (*Relay, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	return &Relay{listener: l, target: target, healed: make(chan struct{}), pairs: make(map[*pair]bool)}, nil
}

// Addr returns where the relay listens.
func (r *Relay) Addr() string { return r.listener.Addr().String() }

// Connections returns how many connections there are through the relay.
func (r *Relay) Connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.pairs)
}

// Run passes connections on until ctx ends, and joins all that it started.
func (r *Relay) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	defer context.AfterFunc(ctx, func() {
		_ = r.listener.Close()
		r.Set(Refuse)
	})()
	for {
		c, err := r.listener.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(10 * time.Millisecond) // no descriptors, most likely
			continue
		}
		running.Go(func() { r.pass(ctx, c.(*net.TCPConn)) })
	}
}

// Set makes the relay do so from now on.
func (r *Relay) Set(f Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = f
	close(r.healed)
	r.healed = make(chan struct{})
	if f == Refuse {
		r.resetAll()
	}
}

// Reset resets all connections, and lets new ones pass.
func (r *Relay) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resetAll()
}

// resetAll is called with mu held.
func (r *Relay) resetAll() {
	for p := range r.pairs {
		p.reset()
	}
}

func (p *pair) reset() {
	for _, c := range []*net.TCPConn{p.client, p.server} {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
}

// add takes note of a pair, unless connections are refused.
func (r *Relay) add(p *pair) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fault == Refuse {
		return false
	}
	r.pairs[p] = true
	return true
}

func (r *Relay) pass(ctx context.Context, client *net.TCPConn) {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	c, err := dialer.DialContext(ctx, "tcp", r.target)
	if err != nil {
		_ = client.SetLinger(0)
		_ = client.Close()
		return
	}
	p := &pair{client, c.(*net.TCPConn)}
	if !r.add(p) {
		p.reset()
		return
	}
	defer func() {
		r.mu.Lock()
		delete(r.pairs, p)
		r.mu.Unlock()
		_, _ = p.client.Close(), p.server.Close()
	}()
	var ways sync.WaitGroup
	ways.Go(func() { r.copy(p, p.server, p.client, StallUp) })
	ways.Go(func() { r.copy(p, p.client, p.server, StallDown) })
	ways.Wait()
}

// copy passes bytes on, and their end, which waits as they do while the way is
// stalled. A connection that ends by an error ends by one on the other side.
func (r *Relay) copy(p *pair, to, from *net.TCPConn, stalled Fault) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		r.await(stalled)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				p.reset()
				return
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			_ = to.CloseWrite()
			return
		default:
			p.reset()
			return
		}
	}
}

// await returns when that way is open, or cut for good.
func (r *Relay) await(stalled Fault) {
	for {
		r.mu.Lock()
		fault, healed := r.fault, r.healed
		r.mu.Unlock()
		if fault != Stall && fault != stalled {
			return
		}
		<-healed
	}
}
