package httpfront

import (
	"cmp"
	"net/netip"
	"time"

	"github.com/butterfly-zmq/butterfly/loopback"
)

// leaving is what is known of a client's going.
type leaving uint8

const (
	stays      leaving = iota
	halfClosed         // it sends no more (FIN), but may still read
	gone               // the connection is reset or closed on both sides
)

// await makes p the request that ends when the client leaves.
func (c *conn) await(p *loopback.Pending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = p
	c.waits++
	c.lookAhead()
	c.consider()
}

// settled ends await. From its return on the request is not abandoned any
// more, and may be released.
func (c *conn) settled() {
	c.mu.Lock()
	c.pending = nil
	if c.grace != nil {
		c.grace.Stop()
		c.grace = nil
	}
	c.mu.Unlock()
	c.stopAhead()
}

// notice is told by the watcher that the client leaves, possibly more than
// once.
func (c *conn) notice(l leaving) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l > c.left {
		c.left = l
		c.consider()
	}
}

// consider does what the client's leaving means for the request that waits.
func (c *conn) consider() {
	after := c.front.cfg.HalfCloseGrace
	switch {
	case c.pending == nil || c.left == stays:
	case c.left == gone:
		c.pending.Abandon(loopback.ErrGone)
	case after >= 0 && c.grace == nil:
		waits := c.waits
		c.grace = time.AfterFunc(after, func() { c.graceOver(waits) })
	}
}

// graceOver abandons the request for which the timer was started, if it still
// waits.
func (c *conn) graceOver(waits uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending != nil && c.waits == waits {
		c.pending.Abandon(loopback.ErrGone)
	}
}

// clientOf returns the number by which the stages tell the request's client from
// others, for the turns that clients take: of the configured header field, or of
// the address. Numbers are hashes, the same at every front: two clients may share
// one, and then share their turns.
func (x *exchange) clientOf(route *Route) uint32 {
	name := cmp.Or(route.ClientHeader, x.front.cfg.ClientHeader)
	if name != "" {
		if value := x.ctx.Request.Header.Peek(name); len(value) > 0 {
			return hash("field", value)
		}
	}
	if x.asker.IsValid() && x.asker != x.conn.peer {
		return hashClient(clientOf(x.asker))
	}
	return x.conn.client
}

// hashClient returns the number of a client's address: of whom the registry counts
// its connections for, so that a host with many addresses is one client.
func hashClient(who netip.Addr) uint32 {
	if !who.IsValid() {
		return 0
	}
	bytes := who.As16()
	return hash("address", bytes[:])
}

// hash is FNV-1a, of what a value is and the value.
func hash(what string, value []byte) uint32 {
	const offset, prime = 2166136261, 16777619
	h := uint32(offset)
	for i := range len(what) {
		h = (h ^ uint32(what[i])) * prime
	}
	for _, b := range value {
		h = (h ^ uint32(b)) * prime
	}
	return h
}
