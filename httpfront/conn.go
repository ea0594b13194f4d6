package httpfront

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/valyala/fasthttp"
)

const (
	// writeChunk is how much of an answer has WriteTimeout to leave.
	writeChunk = 256 << 10
	// lastLook is how long an idle connection is still read from when the
	// front drains, for a request that has been sent already, or is about to be
	// by a client that is between two of them; firstLook is that of a new
	// connection, whose client may not know yet that it has it.
	lastLook  = 100 * time.Millisecond
	firstLook = 250 * time.Millisecond
)

// conn is a client's connection as fasthttp sees it. Read, Write and the
// deadlines belong to the goroutine that serves it; what others touch is
// guarded by mu.
type conn struct {
	net.Conn           // what requests are read from: raw, or secure
	raw      net.Conn  // the TCP connection
	secure   *tls.Conn // nil: not encrypted
	front    *Front
	number   uint64     // in the registry
	peer     netip.Addr // its address; zero: none
	trusted  bool       // the peer is a proxy that is believed
	who      netip.Addr // for whom the registry counts it; zero: nobody
	client   uint32     // hash of the peer's address
	lines    []byte     // for the front's own header lines

	first       [firstRead]byte
	buf         []byte   // what has come and nobody has read; may be a part of first
	head        headScan // of the current request
	ready       int      // bytes at the start of buf that belong to the head
	broken      error    // what is read behind them
	read, write deadline
	asked       uint64        // requests so far
	active      bool          // a request's first byte has come, its answer has not left
	timed       bool          // the read deadline is that of the rest of the head, or of the body
	bodyTimeout time.Duration // of the current request
	begun       bool          // the first byte was given by readFirst
	asksHead    bool          // the request seems to be a HEAD, for when it cannot be read
	lingers     bool          // the client may still be sending: close slowly
	mute        bool          // nothing may be written any more
	cutOff      bool          // an answer was begun and will not be finished
	ahead       ahead         // read while the request waits, under TLS; its timer and reading are guarded by mu

	mu         sync.Mutex // guards the fields below
	idle       bool       // waits for nothing that has been promised
	fresh      bool       // no request has come yet
	unwritable bool       // an answer was cut
	left       leaving
	pending    *loopback.Pending // the request that waits for its answer
	waits      uint64            // how many requests have waited so far
	grace      *time.Timer       // runs while left is halfClosed and pending is set
}

func newConn(f *Front, nc net.Conn) *conn {
	c := &conn{Conn: nc, raw: nc, front: f, peer: peerOf(nc.RemoteAddr()), fresh: true}
	c.client = hashClient(clientOf(c.peer))
	if c.trusted = f.cfg.TrustedProxies.has(c.peer); !c.trusted {
		c.who = clientOf(c.peer)
	}
	if f.certs != nil {
		c.secure = tls.Server(nc, f.certs.shown)
		c.Conn = c.secure
	}
	return c
}

// changed is fasthttp's ConnState.
func changed(nc net.Conn, s fasthttp.ConnState) {
	c, ok := nc.(*conn)
	if !ok {
		return
	}
	if c.active = s == fasthttp.StateActive; c.active {
		c.asked++
	}
	if s == fasthttp.StateIdle {
		c.head, c.ready, c.broken = headScan{}, 0, nil
		c.begun, c.timed = false, false
	}
}

// becomeIdle makes ready for waiting for a request. The deadline is set under
// the lock: drain sets an earlier one before or afterwards.
func (c *conn) becomeIdle(timeout time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = true
	if c.front.draining.Load() {
		c.read.forget()
		return c.look()
	}
	at, set := c.read.next(c.front.clock(), timeout)
	if !set {
		return nil
	}
	return c.Conn.SetReadDeadline(c.front.epoch.Add(at))
}

// Write implements net.Conn. Each part of p has WriteTimeout, so that a slow
// client gets a long answer and one that does not read at all is cut off.
func (c *conn) Write(p []byte) (int, error) {
	if c.mute {
		return 0, net.ErrClosed
	}
	if len(p) > small {
		w := c.front.unsent.begin(c, len(p))
		defer c.front.unsent.end(w)
	}
	written := 0
	for {
		if err := c.mayWrite(); err != nil {
			c.cutOff = true
			return written, err
		}
		part := p[written:min(len(p), written+writeChunk)]
		n, err := c.Conn.Write(part)
		written += n
		if err != nil || written == len(p) {
			c.cutOff = err != nil
			return written, err
		}
	}
}

// mayWrite sets the deadline of the next part, unless the connection was cut.
func (c *conn) mayWrite() error {
	at, set := c.write.next(c.front.clock(), c.front.cfg.WriteTimeout)
	if !set {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unwritable {
		return os.ErrDeadlineExceeded
	}
	return c.Conn.SetWriteDeadline(c.front.epoch.Add(at))
}

// cutWrite ends writing, so that the answer's memory is free.
func (c *conn) cutWrite() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unwritable = true
	_ = c.Conn.SetWriteDeadline(time.Unix(1, 0))
}

// Close implements net.Conn: fasthttp calls it once, when it has served.
func (c *conn) Close() error {
	if c.mayLinger() && !c.mute {
		c.mu.Lock()
		c.idle = true // for drain
		c.mu.Unlock()
		if c.secure != nil && !c.cutOff {
			_ = c.secure.CloseWrite()
		}
		linger(c.raw, c.front.draining.Load)
	}
	c.front.conns.remove(c)
	return c.shut()
}

// mayLinger reports whether there may be something that nobody has read. An idle
// connection of a front that drains may have been answered a moment ago, and its
// client may be sending the next request; under TLS it may have sent a
// close_notify.
func (c *conn) mayLinger() bool {
	return c.lingers || c.front.draining.Load() || c.secure != nil && !c.cutOff
}

// drain closes the connection if it is idle.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle {
		_ = c.look()
	}
}

// look sets the read deadline of an idle connection of a front that drains. It
// is called with the lock.
func (c *conn) look() error {
	if c.fresh {
		return c.Conn.SetReadDeadline(time.Now().Add(firstLook))
	}
	return c.Conn.SetReadDeadline(time.Now().Add(lastLook))
}

// readIdle reads what may be the start of a request. On a machine that stood
// still the last look may be over before anybody has looked: Go's deadline wins
// over bytes that have come in time, so there is one more.
func (c *conn) readIdle(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 || !c.front.draining.Load() || !errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	if err := c.Conn.SetReadDeadline(time.Now().Add(lastLook)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// cut closes the connection in any case and abandons its request, also one that
// is about to wait.
func (c *conn) cut() {
	c.mu.Lock()
	if c.pending != nil {
		c.pending.Abandon(loopback.ErrClosed)
	}
	c.left = gone
	c.mu.Unlock()
	_ = c.raw.Close()
}
