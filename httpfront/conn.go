package httpfront

import (
	"net"
	"sync"
	"time"

	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/valyala/fasthttp"
)

const (
	// firstRead is how much of a request the wait for its first byte takes
	// in: most requests whole, so that they cost one system call.
	firstRead = 512
	// writeChunk is how much of an answer has WriteTimeout to leave.
	writeChunk = 256 << 10
	// lastLook is how long an idle connection is still read from when the
	// front drains, for a request that has been sent already.
	lastLook = 10 * time.Millisecond
)

// conn is a client's connection as fasthttp sees it. Read, Write and the
// deadlines belong to the goroutine that serves it; what others touch is
// guarded by mu.
type conn struct {
	net.Conn
	front  *Front
	number uint64 // in the registry
	client uint32 // hash of the client's address

	first       [firstRead]byte
	rest        []byte // of first, not yet read by fasthttp
	read, write deadline
	received    received
	asked       uint64    // requests so far
	active      bool      // a request's first byte has come, its answer has not left
	timed       bool      // while active: the read deadline is the request's
	by          time.Time // when the body has to be here; zero: no body yet
	served      bool      // a first request has come
	lingers     bool      // the client may still be sending: close slowly
	mute        bool      // nothing may be written any more

	mu      sync.Mutex // guards the fields below
	idle    bool       // waits for nothing that has been promised
	left    leaving
	pending *loopback.Pending // the request that waits for its answer
	waits   uint64            // how many requests have waited so far
	grace   *time.Timer       // runs while left is halfClosed and pending is set
}

func newConn(f *Front, nc net.Conn) *conn {
	return &conn{Conn: nc, front: f, client: hashClient(nc.RemoteAddr()), received: received{from: &f.receiving}}
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.rest) > 0 {
		n := copy(p, c.rest)
		c.rest = c.rest[n:]
		return n, nil
	}
	if !c.active {
		return c.readFirst(p)
	}
	if !c.timed { // the request has not come in one piece
		if err := c.setTimed(); err != nil {
			return 0, err
		}
	}
	if err := c.received.room(len(p)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	c.received.got += int64(n)
	return n, err
}

// setTimed sets the deadline for the rest of the head, or of the body.
func (c *conn) setTimed() error {
	by := c.by
	if by.IsZero() {
		by = time.Now().Add(c.front.cfg.HeaderTimeout)
	}
	c.timed = true
	c.read.forget()
	return c.Conn.SetReadDeadline(by)
}

// readFirst waits for a request. fasthttp asks for its first byte only.
func (c *conn) readFirst(p []byte) (int, error) {
	timeout := c.front.cfg.IdleTimeout
	if !c.served {
		timeout = c.front.cfg.HeaderTimeout
	}
	if err := c.becomeIdle(timeout); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(c.first[:])
	c.mu.Lock()
	c.idle = false
	c.mu.Unlock()
	if n == 0 {
		return 0, err
	}
	c.served = true
	taken := copy(p, c.first[:n])
	c.rest = c.first[taken:n]
	return taken, nil
}

// changed is fasthttp's ConnState.
func changed(nc net.Conn, s fasthttp.ConnState) {
	if c, ok := nc.(*conn); ok {
		c.active, c.timed, c.by = s == fasthttp.StateActive, false, time.Time{}
		c.received.release()
		if c.active {
			c.asked++
		}
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
		return c.Conn.SetReadDeadline(time.Now().Add(lastLook))
	}
	at, set := c.read.next(c.front.clock(), timeout)
	if !set {
		return nil
	}
	return c.Conn.SetReadDeadline(c.front.epoch.Add(at))
}

// SetReadDeadline implements net.Conn. fasthttp calls it when a request with a
// body comes, with the body's deadline: set only if the body is waited for.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.by, c.timed = t, false
	return nil
}

// Write implements net.Conn. Each part of p has WriteTimeout, so that a slow
// client gets a long answer and one that does not read at all is cut off.
func (c *conn) Write(p []byte) (int, error) {
	if c.mute {
		return 0, net.ErrClosed
	}
	written := 0
	for {
		at, set := c.write.next(c.front.clock(), c.front.cfg.WriteTimeout)
		if set {
			if err := c.Conn.SetWriteDeadline(c.front.epoch.Add(at)); err != nil {
				return written, err
			}
		}
		part := p[written:min(len(p), written+writeChunk)]
		n, err := c.Conn.Write(part)
		written += n
		if err != nil || written == len(p) {
			return written, err
		}
	}
}

// Close implements net.Conn: fasthttp calls it once, when it has served.
func (c *conn) Close() error {
	c.received.release()
	if c.lingers && !c.mute {
		c.mu.Lock()
		c.idle = true // for drain
		c.mu.Unlock()
		linger(c.Conn, c.front.draining.Load)
	}
	c.front.conns.remove(c)
	return c.Conn.Close()
}

// drain closes the connection if it is idle.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle {
		_ = c.Conn.SetReadDeadline(time.Now().Add(lastLook))
	}
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
	_ = c.Conn.Close()
}
