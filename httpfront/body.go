package httpfront

import (
	"errors"
	"io"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/internal/spool"
)

// Bodies are read here and not by fasthttp, which is told that there are none:
// it would take the memory that a client announces before a byte of it has
// come, and it takes chunks that others read in another way, with extensions of
// any length.

// firstPiece is how much room is made at first for a body that has not come
// with its head. It grows twofold, as the body comes.
const firstPiece = 4 << 10

// body is a request's body while it comes: in memory, or, from a size on that its
// route says, in a file.
//
// It does not hold its exchange, which would have to be on the heap for that.
type body struct {
	in    httptext.Inflow
	limit int64 // of the whole body
	above int64 // what is larger is spooled; never above limit
	piece *[]byte
}

// receive reads the body of req.
func (x *exchange) receive(req *httptext.Request, route *Route) error {
	x.unread = true // or partly read, from now on
	limit, above := x.bounds(route)
	if x.coming.Length > limit {
		return errBody
	}
	if x.coming.Length > above && !x.front.spool.HasRoom(x.coming.Length) {
		return spoolError(spool.ErrFull)
	}
	defer x.uncount() // the table counts what has come
	c := x.conn
	c.timed, c.bodyTimeout = false, x.front.cfg.BodyTimeout
	if route.BodyTimeout > 0 {
		c.bodyTimeout = route.BodyTimeout
	}
	if x.coming.Continue && len(c.buf) == 0 { // else it has not waited
		if _, err := c.Write(continueLine); err != nil {
			return err
		}
	}
	b := body{in: req.Inflow(x.coming), limit: limit, above: above}
	err := x.gather(&b)
	if b.piece != nil {
		x.front.pieces.Put(b.piece)
	}
	if err == nil {
		err = x.gathered(&b)
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	x.unread, x.received, x.coming = false, true, httptext.Coming{}
	return nil
}

// bounds returns how large a body may be, and from which size on it is spooled.
// prime_server's workers cannot read files: for them no body may be larger than
// what is not spooled.
func (x *exchange) bounds(route *Route) (limit, above int64) {
	limit = int64(x.front.cfg.MaxBody)
	if route.MaxBody > 0 {
		limit = route.MaxBody
	}
	if route.SpoolAbove <= 0 || x.front.spool == nil {
		return limit, limit
	}
	if above = min(limit, route.SpoolAbove); route.Compat {
		limit = above
	}
	return limit, above
}

var continueLine = []byte("HTTP/1.1 100 Continue\r\n\r\n")

func (x *exchange) gather(b *body) error {
	if !x.coming.Chunked {
		return x.pull(b, x.coming.Length, x.coming.Length)
	}
	c := x.conn
	chunks := httptext.Chunks{MaxExtra: x.front.cfg.MaxHeaderBytes}
	for {
		n, err := chunks.Next(c.buf)
		c.buf = c.buf[n:]
		switch {
		case err != nil || chunks.Done():
			return err
		case chunks.Left() == 0: // buf is used up
			err = c.fill()
		case chunks.Left() > b.limit-x.size(b):
			err = errBody
		default:
			left := min(chunks.Left(), 1<<30)
			err = x.pull(b, left, b.above)
			chunks.Took(int(left))
		}
		if err != nil {
			return err
		}
	}
}

// size returns how many bytes have come.
func (x *exchange) size(b *body) int64 {
	if x.spooled != nil {
		return x.spooled.Size()
	}
	return int64(b.in.Len())
}

// pull reads n bytes more. Of a body in memory there will be no more than most.
func (x *exchange) pull(b *body, n, most int64) error {
	if x.spooled != nil || x.size(b)+n > b.above {
		return x.spool(b, n)
	}
	for n > 0 {
		if len(b.in.Free()) == 0 {
			if err := x.grow(&b.in, min(int(most), max(firstPiece, 2*b.in.Cap()))); err != nil {
				return err
			}
		}
		free := b.in.Free()
		got, err := x.conn.readBody(free[:min(n, int64(len(free)))])
		b.in.Took(got)
		if n -= int64(got); err != nil {
			return err
		}
	}
	return nil
}

// spool reads n bytes more into the file, behind those that are in memory.
func (x *exchange) spool(b *body, n int64) error {
	if err := x.begin(b); err != nil {
		return err
	}
	for n > 0 {
		got, err := x.conn.readBody((*b.piece)[:min(n, spoolPiece)])
		if got > 0 {
			_, wrong := x.spooled.Write((*b.piece)[:got])
			err = errors.Join(err, spoolError(wrong))
		}
		if n -= int64(got); err != nil {
			return err
		}
	}
	return nil
}

// begin makes the file, if there is none yet.
func (x *exchange) begin(b *body) error {
	if x.spooled != nil {
		return nil
	}
	file, err := x.front.spool.Create()
	if err != nil {
		return spoolError(err)
	}
	x.spooled = file
	b.piece = x.front.pieces.Get().(*[]byte)
	if b.in.Len() > 0 {
		_, err = file.Write(b.in.Bytes())
	}
	return spoolError(err)
}

// gathered gives the request its body.
func (x *exchange) gathered(b *body) error {
	file := x.spooled
	if file == nil {
		b.in.Done()
		return nil
	}
	if err := file.Done(); err != nil {
		return spoolError(err)
	}
	b.in.Spooled(file.Name(), file.Size())
	return nil
}

// unspool removes the request's body, if it is in a file: the request has ended.
func (x *exchange) unspool() {
	if x.spooled != nil {
		x.spooled.Remove()
		x.spooled = nil
	}
}

// spoolPiece is how much of a body is written to its file at once.
const spoolPiece = 32 << 10

func newPiece() any {
	b := make([]byte, spoolPiece)
	return &b
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
		c.limit(c.bodyTimeout)
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
	c.timed, c.bodyTimeout = false, x.front.cfg.BodyTimeout
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
