package transport

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// memBuffer is what one direction of an in-memory connection holds, about what
// the kernel holds for a socket. net.Pipe holds nothing: each of its writes
// waits for a read, which makes batching impossible.
const memBuffer = 64 << 10

// memConn is one end of a connection inside the process. It behaves like a
// stream socket: buffered, with deadlines, EOF after the other end's Close.
type memConn struct {
	in, out *stream
	name    memAddr
}

// memPipe returns the two ends of a connection.
func memPipe(name string) (a, b net.Conn) {
	x, y := newStream(), newStream()
	return &memConn{in: x, out: y, name: memAddr(name)}, &memConn{in: y, out: x, name: memAddr(name)}
}

func (c *memConn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *memConn) Write(p []byte) (int, error) { return c.out.write(p) }

func (c *memConn) Close() error {
	c.out.closeWriter()
	c.in.closeReader()
	return nil
}

// CloseWrite ends the writing half.
func (c *memConn) CloseWrite() error {
	c.out.closeWriter()
	return nil
}

func (c *memConn) LocalAddr() net.Addr  { return c.name }
func (c *memConn) RemoteAddr() net.Addr { return c.name }

func (c *memConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *memConn) SetReadDeadline(t time.Time) error {
	c.in.readBy.set(c.in, t)
	return nil
}

func (c *memConn) SetWriteDeadline(t time.Time) error {
	c.out.writeBy.set(c.out, t)
	return nil
}

// memAddr is an inproc name as a net.Addr.
type memAddr string

func (memAddr) Network() string  { return "inproc" }
func (a memAddr) String() string { return string(a) }

// stream is one direction: a bounded buffer between a reader and a writer.
type stream struct {
	mu      sync.Mutex // guards all below
	changed sync.Cond
	buf     []byte
	r       int // buf[r:] has not been read

	writerGone, readerGone bool
	readBy, writeBy        deadline
}

func newStream() *stream {
	s := &stream{}
	s.changed.L = &s.mu
	return s
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.readerGone:
			return 0, net.ErrClosed
		case s.readBy.passed:
			return 0, os.ErrDeadlineExceeded
		case s.r < len(s.buf):
			n := copy(p, s.buf[s.r:])
			s.r += n
			if s.r == len(s.buf) {
				s.buf, s.r = s.buf[:0], 0
			}
			s.changed.Broadcast()
			return n, nil
		case s.writerGone:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

func (s *stream) write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for {
		switch {
		case s.writerGone:
			return n, net.ErrClosed
		case s.readerGone:
			return n, io.ErrClosedPipe
		case s.writeBy.passed:
			return n, os.ErrDeadlineExceeded
		case n == len(p):
			return n, nil
		}
		if free := memBuffer - (len(s.buf) - s.r); free > 0 {
			n += s.append(p[n:min(len(p), n+free)])
			s.changed.Broadcast()
			continue
		}
		s.changed.Wait()
	}
}

// append adds p, for which there is room, behind what has not been read.
func (s *stream) append(p []byte) int {
	if s.r > 0 && len(s.buf)+len(p) > cap(s.buf) {
		s.buf = s.buf[:copy(s.buf, s.buf[s.r:])]
		s.r = 0
	}
	s.buf = append(s.buf, p...)
	return len(p)
}

func (s *stream) closeWriter() {
	s.mu.Lock()
	s.writerGone = true
	s.writeBy.stop()
	s.mu.Unlock()
	s.changed.Broadcast()
}

func (s *stream) closeReader() {
	s.mu.Lock()
	s.readerGone = true
	s.buf, s.r = nil, 0
	s.readBy.stop()
	s.mu.Unlock()
	s.changed.Broadcast()
}

// deadline is a moment after which a stream's reads or writes fail. Its fields
// are guarded by the stream's mu.
type deadline struct {
	passed bool
	timer  *time.Timer
	epoch  int // tells a timer that was replaced while it fired
}

// set moves the deadline; the zero time takes it away.
func (d *deadline) set(s *stream, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.stop()
	d.passed = false
	if t.IsZero() {
		return
	}
	epoch := d.epoch
	d.timer = time.AfterFunc(time.Until(t), func() {
		s.mu.Lock()
		d.passed = d.passed || d.epoch == epoch
		s.mu.Unlock()
		s.changed.Broadcast()
	})
}

func (d *deadline) stop() {
	d.epoch++
	if d.timer != nil {
		d.timer.Stop()
	}
}
