package transport

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
)

const (
	// greetingSize is what either side sends first, before any frame.
	greetingSize = 64
	// handshakeBuffer is enough for headers; connections that never become
	// peers cost no more.
	handshakeBuffer = 512
	// readBuffer is what one read of the socket brings at most, and so about
	// the size of a batch.
	readBuffer = 64 << 10
	// directRead is the body size from which bytes go from the socket straight
	// into the message.
	directRead = 16 << 10
)

// framedConn is the net.Conn that zmq4 reads and writes. Reading, it lets the
// scanner judge every frame header before zmq4 sees it, and consumes commands
// after the handshake. Writing, it buffers (framedwrite.go).
//
// Read belongs to one goroutine, Write and Flush to another one; the marks for
// the watchdog and Close are free for all.
type framedConn struct {
	net.Conn
	scan scanner

	// Reading.
	buf     []byte
	r, w    int   // buf[r:w] has been read and not been passed on
	pass    int64 // bytes that may go to zmq4 unexamined
	large   gathered
	greeted bool   // the greeting has passed, or is part of pass
	idle    func() // the reader's, called before a read that may block; may be nil
	held    holding
	counts  bool // held holds something
	last    bool // the frame under way is its message's last
	onPing  func(pong)
	failure error // why reading ended

	out writeBuffer

	// Marks that the watchdog reads.
	heard  atomic.Bool   // bytes came since it was last cleared
	writes atomic.Uint64 // odd while a write to the kernel is under way
	closed atomic.Bool
}

func newFramedConn(nc net.Conn, limits Limits) *framedConn {
	return &framedConn{Conn: nc, scan: scanner{limits: limits}, buf: make([]byte, handshakeBuffer)}
}

// startTraffic ends the handshake: from now on writes are buffered, commands
// are consumed here, and onPing is called in the reader's goroutine for each
// PING. It may not block.
func (c *framedConn) startTraffic(onPing func(pong)) {
	buf := make([]byte, readBuffer)
	c.w = copy(buf, c.buf[c.r:c.w])
	c.buf, c.r = buf, 0
	c.scan.traffic = true
	c.held.gone = c.closed.Load
	c.onPing = onPing
	c.out.start()
}

// Read gives zmq4 bytes that have been judged.
func (c *framedConn) Read(p []byte) (int, error) {
	for c.pass == 0 {
		if err := c.nextFrame(); err != nil {
			c.failure = err
			return 0, err
		}
	}
	if int64(len(p)) > c.pass {
		p = p[:c.pass]
	}
	n, err := c.read(p)
	if err != nil {
		c.failure = err
	}
	c.pass -= int64(n)
	return n, err
}

// read fills p from the buffer, or from the socket: directly where it is worth
// it.
func (c *framedConn) read(p []byte) (int, error) {
	if c.r == c.w {
		if !c.large.empty() {
			return c.large.read(p), nil
		}
		if len(p) >= directRead {
			return c.readSocket(p)
		}
		if err := c.fill(1); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.buf[c.r:c.w])
	c.r += n
	return n, nil
}

// nextFrame lets the greeting or a frame pass, or consumes a command.
func (c *framedConn) nextFrame() error {
	if !c.greeted {
		return c.greet()
	}
	if c.last && c.counts {
		c.counts = false
		c.held.release()
	}
	f, more, err := c.scan.scan(c.buf[c.r:c.w])
	for more {
		if err := c.fill(f.header); err != nil {
			return err
		}
		f, more, err = c.scan.scan(c.buf[c.r:c.w])
	}
	if err != nil {
		return err
	}
	if f.command && c.scan.traffic {
		return c.consume(f)
	}
	if err := c.count(f); err != nil {
		return err
	}
	c.pass = int64(f.header) + f.body
	if f.body >= largeFrame {
		return c.gather(f)
	}
	return nil
}

// count has room made for a frame whose bytes zmq4 will make room for as soon as it
// sees the header, if its message is a large one. What is gathered is counted as
// it comes.
func (c *framedConn) count(f frame) error {
	c.last = !c.scan.within()
	if f.body < accounted && c.scan.bytes < accounted || f.body >= largeFrame {
		return nil
	}
	c.counts = true
	return c.held.grow(f.body, c.waiting)
}

// waiting is called while our own bounds keep the reader from reading.
func (c *framedConn) waiting() { c.heard.Store(true) }

// Close closes the connection. It may be called more than once, by anybody.
func (c *framedConn) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}

// greet looks at the first byte of the greeting, so that a peer that speaks
// something else is refused although it may never send 64 bytes.
func (c *framedConn) greet() error {
	if err := c.fill(1); err != nil {
		return err
	}
	switch c.buf[c.r] {
	case 0xff:
	case 0x15, 0x16: // an alert or a handshake of TLS
		return &ProtocolError{"the peer speaks TLS: both ends have to be tls+tcp"}
	default:
		return &ProtocolError{"this is not ZMTP"}
	}
	c.greeted = true
	c.pass = greetingSize
	return nil
}

// consume takes a command out of the stream.
func (c *framedConn) consume(f frame) error {
	size := f.header + int(f.body)
	if err := c.fill(size); err != nil {
		return err
	}
	body := c.buf[c.r+f.header : c.r+size]
	c.r += size
	answer, isPing, err := judgeCommand(body)
	if isPing {
		c.onPing(answer)
	}
	return err
}

// fill reads from the socket until n bytes are buffered.
func (c *framedConn) fill(n int) error {
	if c.r == c.w {
		c.r, c.w = 0, 0
	} else if c.r+n > len(c.buf) {
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	}
	for c.w-c.r < n {
		m, err := c.readSocket(c.buf[c.w:])
		c.w += m
		if err != nil && c.w-c.r < n {
			return err
		}
	}
	return nil
}

// readSocket reads once, after the batch gathered so far has been delivered, and
// leaves the mark that the peer was heard.
func (c *framedConn) readSocket(p []byte) (int, error) {
	if c.idle != nil {
		c.idle()
	}
	n, err := c.Conn.Read(p)
	if n > 0 && !c.heard.Load() {
		c.heard.Store(true)
	}
	if errors.Is(err, io.EOF) && !c.atBoundary() {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// atBoundary reports whether the stream may end here: behind the handshake and
// outside messages and frames.
func (c *framedConn) atBoundary() bool {
	return c.scan.traffic && c.pass == 0 && c.r == c.w && !c.scan.within()
}
