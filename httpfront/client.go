package httpfront

import (
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
