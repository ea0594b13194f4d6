package httpfront

import (
	"bytes"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
)

// firstRead is how much of a request the wait for its first byte takes in: most
// requests whole, so that they cost one system call.
const firstRead = 512

// errOverread says that fasthttp and headScan do not agree on where a head
// ends.
var errOverread = &httptext.SyntaxError{Reason: "the head does not end where it seems to"}

// Read implements net.Conn, for fasthttp, which reads heads only: one at a
// time, and not a byte of what is behind it. Bodies are read by the handler
// (readBody); what was sent ahead waits in buf or in the kernel.
func (c *conn) Read(p []byte) (int, error) {
	switch {
	case !c.active:
		return c.readFirst(p)
	case c.ready > 0:
		return c.give(p), nil
	case c.broken != nil:
		return 0, c.broken
	case c.head.done:
		return 0, errOverread
	}
	return c.readHead(p)
}

// give hands out what belongs to the head.
func (c *conn) give(p []byte) int {
	n := copy(p, c.buf[:c.ready])
	c.buf, c.ready = c.buf[n:], c.ready-n
	return n
}

// readFirst waits for a request, and gives its first byte: fasthttp asks for no
// more, and holds no buffers meanwhile. So it waits for the whole head, if that
// is short: a client that sends one slowly costs no more than an idle one.
func (c *conn) readFirst(p []byte) (int, error) {
	if err := c.awaitRequest(); err != nil {
		return 0, err
	}
	c.begun = true
	if c.broken == nil {
		c.take(0)
	}
	if c.broken == nil && !c.head.done && len(c.buf) < firstRead {
		c.gather()
	}
	c.asksHead = bytes.HasPrefix(c.buf, []byte("HEAD "))
	if c.ready == 0 { // fasthttp answers only what has begun, and not with a line end
		p[0] = '?'
		return 1, nil
	}
	return c.give(p[:1]), nil
}

// awaitRequest waits until the start of a request is in buf, behind empty lines
// that are ignored (RFC 9112, section 2.2). Nothing is owed to the client
// meanwhile.
func (c *conn) awaitRequest() error {
	empty := c.skipEmpty()
	if len(c.buf) > 1 || len(c.buf) == 1 && c.buf[0] != '\r' {
		return nil
	}
	timeout := c.front.cfg.IdleTimeout
	if c.asked == 0 {
		timeout = c.front.cfg.HeaderTimeout
	}
	if err := c.becomeIdle(timeout); err != nil {
		return err
	}
	for c.broken == nil && (len(c.buf) == 0 || len(c.buf) == 1 && c.buf[0] == '\r') {
		have := copy(c.first[:], c.buf)
		n, err := c.readIdle(c.first[have:])
		if n == 0 {
			return err
		}
		c.buf = c.first[:have+n]
		if empty += c.skipEmpty(); empty > firstRead {
			c.broken = &httptext.SyntaxError{Reason: "nothing but empty lines"}
		}
	}
	c.mu.Lock()
	c.idle, c.fresh = false, false
	c.mu.Unlock()
	return nil
}

// skipEmpty passes over whole empty lines at the start of buf.
func (c *conn) skipEmpty() int {
	n := 0
	for len(c.buf) >= n+2 && c.buf[n] == '\r' && c.buf[n+1] == '\n' {
		n += 2
	}
	c.buf = c.buf[n:]
	return n
}

// gather reads on until the head is in buf, or first is full.
func (c *conn) gather() {
	have := copy(c.first[:], c.buf) // buf may be a part of first
	c.buf = c.first[:have]
	c.limit(c.front.cfg.HeaderTimeout)
	for c.broken == nil && !c.head.done && have < firstRead && c.plausible() {
		n, err := c.Conn.Read(c.first[have:])
		c.buf = c.first[:have+n]
		if c.take(have); c.broken == nil {
			c.broken = err
		}
		have += n
	}
}

// plausible reports whether what has come of the request line may be one.
// fasthttp refuses others without waiting for more.
func (c *conn) plausible() bool {
	const version = "HTTP/1.1\r"
	line, _, ended := bytes.Cut(c.buf, []byte("\n"))
	if !ended {
		return true
	}
	return len(line) > len(version) && bytes.HasPrefix(line[len(line)-len(version):], []byte("HTTP/"))
}

// readHead reads on in a head that is longer than first, and keeps what is
// behind it.
func (c *conn) readHead(p []byte) (int, error) {
	if !c.timed {
		c.limit(c.front.cfg.HeaderTimeout)
	}
	n, err := c.Conn.Read(p)
	c.buf = p[:n]
	if c.take(0); c.broken == nil {
		c.broken = err
	}
	n, c.ready = c.ready, 0
	c.buf = bytes.Clone(c.buf[n:])
	if n == 0 {
		return 0, c.broken
	}
	return n, nil
}

// take looks at buf from a place on, and makes ready what belongs to the head.
// What no head has, or not this much of, makes the connection broken, and
// nothing of it ready.
func (c *conn) take(from int) {
	n, err := c.head.scan(c.buf[from:])
	if err == nil {
		err = c.head.bound(c.front.cfg.MaxTarget, c.front.cfg.MaxHeaderBytes)
	}
	if err != nil {
		c.broken, c.ready = err, 0
		return
	}
	c.ready += n
}

// limit sets how long what the request still lacks may take.
func (c *conn) limit(timeout time.Duration) {
	c.timed = true
	c.read.forget()
	// The error is that of a closed connection, as the next Read's.
	_ = c.Conn.SetReadDeadline(time.Now().Add(timeout))
}
