package httpfront

import (
	"errors"
	"io"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
)

// Bodies are read here and not by fasthttp, which is told that there are none:
// it would take the memory that a client announces before a byte of it has
// come, and it takes chunks that others read in another way, with extensions of
// any length.

// firstPiece is how much room is made at first for a body that has not come
// with its head. It grows twofold, as the body comes.
const firstPiece = 4 << 10

// receive reads the body of req.
func (x *exchange) receive(req *httptext.Request) error {
	x.unread = true // or partly read, from now on
	if x.coming.Length > int64(x.front.cfg.MaxBody) {
		return errBody
	}
	defer x.uncount() // the table counts what has come
	c := x.conn
	c.timed = false
	if x.coming.Continue && len(c.buf) == 0 { // else it has not waited
		if _, err := c.Write(continueLine); err != nil {
			return err
		}
	}
	in := req.Inflow(x.coming)
	err := x.gather(&in)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	in.Done()
	x.unread, x.coming = false, httptext.Coming{}
	return nil
}

var continueLine = []byte("HTTP/1.1 100 Continue\r\n\r\n")

func (x *exchange) gather(in *httptext.Inflow) error {
	if !x.coming.Chunked {
		return x.pull(in, int(x.coming.Length), int(x.coming.Length))
	}
	c, limit := x.conn, x.front.cfg.MaxBody
	chunks := httptext.Chunks{MaxExtra: x.front.cfg.MaxHeaderBytes}
	for {
		n, err := chunks.Next(c.buf)
		c.buf = c.buf[n:]
		switch {
		case err != nil || chunks.Done():
			return err
		case chunks.Left() == 0: // buf is used up
			err = c.fill()
		case chunks.Left() > int64(limit-in.Len()):
			err = errBody
		default:
			n = int(chunks.Left())
			err = x.pull(in, n, limit)
			chunks.Took(n)
		}
		if err != nil {
			return err
		}
	}
}

// pull reads n bytes of a body of at most limit bytes.
func (x *exchange) pull(in *httptext.Inflow, n, limit int) error {
	for n > 0 {
		if len(in.Free()) == 0 {
			if err := x.grow(in, min(limit, max(firstPiece, 2*in.Cap()))); err != nil {
				return err
			}
		}
		free := in.Free()
		got, err := x.conn.readBody(free[:min(n, len(free))])
		in.Took(got)
		if n -= got; err != nil {
			return err
		}
	}
	return nil
}

// grow makes room for a body of size bytes, if there is any left.
func (x *exchange) grow(in *httptext.Inflow, size int) error {
	if more := int64(size-uncounted) - x.counted; more > 0 {
		if err := x.front.receiving.take(more); err != nil {
			return err
		}
		x.counted += more
	}
	in.Grow(size)
	return nil
}

func (x *exchange) uncount() {
	x.front.receiving.release(x.counted)
	x.counted = 0
}

// readBody reads bytes of a request's body: at first what came with its head.
func (c *conn) readBody(p []byte) (int, error) {
	if len(c.buf) > 0 {
		n := copy(p, c.buf)
		c.buf = c.buf[n:]
		return n, nil
	}
	if !c.timed {
		c.limit(c.front.cfg.BodyTimeout)
	}
	n, err := c.Conn.Read(p)
	if n > 0 {
		err = nil // it comes again
	}
	return n, err
}

// fill waits for more of a body's framing.
func (c *conn) fill() error {
	n, err := c.readBody(c.first[:])
	c.buf = c.first[:n]
	return err
}

// maxSkip is how long a body may be that is read for nothing.
const maxSkip = 64 << 10

// skip passes over a short body that nobody wants, so that the connection can
// go on with the next request, and reports whether it does.
func (x *exchange) skip() bool {
	c, n := x.conn, x.coming.Length
	if x.coming.Chunked || x.coming.Continue || n > maxSkip {
		return false
	}
	c.timed = false
	for n > int64(len(c.buf)) {
		n -= int64(len(c.buf))
		c.buf = nil
		if c.fill() != nil {
			return false
		}
	}
	c.buf = c.buf[n:]
	return true
}
