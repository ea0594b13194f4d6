package httpfront

import (
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/valyala/fasthttp"
)

// chunk is how many bytes of a stream are written at once: few enough for each
// stream that writes to have a buffer of this size.
const chunk = 16 << 10

// parts is an answer that comes in parts, on its way to the client. It is what
// fasthttp takes for the body: fasthttp reads it once the head has left, and
// closes it in any case.
//
// The chunks are written in Read, past fasthttp, which would copy them in pieces
// of 4 KiB and flush each; at that moment it has nothing buffered, and what Read
// returns is no more than how the body ends.
type parts struct {
	exchange
	pending *loopback.Pending // nil: closed
	first   []byte
	chunked bool
	sent    int // bytes of the body
}

// stream answers with the first part of a stream, and has the others follow.
func (x *exchange) stream(p *loopback.Pending, payload wire.Payload) error {
	s := &parts{exchange: *x, pending: p}
	x.streams = true
	head, err := opening(payload)
	if err != nil {
		x.front.log.Warn("stream does not begin with the head of a response", "request_id", x.id(), "err", err)
		x.refuse(&answerError{err})
		s.sent = len(x.ctx.Response.Body())
		return s.Close()
	}
	s.first, head = head.Body, &httptext.Opening{Response: x.dress(head.Response)}
	head.Body = nil
	resp := &x.ctx.Response
	switch {
	case head.Bodiless():
		_ = head.WriteTo(resp, x.head) // pipeline and opening have checked it
		return s.Close()
	case !x.ctx.Request.Header.IsHTTP11():
		return s.untilClose(head)
	}
	s.chunked = true
	_ = head.WriteTo(resp, false)
	resp.ImmediateHeaderFlush = true
	resp.SetBodyStream(s, -1)
	return nil
}

// opening returns the head of a stream.
func opening(payload wire.Payload) (*httptext.Opening, error) {
	if o, typed := payload.(*httptext.Opening); typed {
		return o, o.Check()
	}
	return httptext.ParseOpening(last(payload))
}

// untilClose writes the whole answer to a client of HTTP/1.0, for whom the end
// of the connection is that of the body. fasthttp, which would send chunks, is
// kept from writing.
func (s *parts) untilClose(head *httptext.Opening) error {
	defer s.Close()
	s.ctx.SetStatusCode(head.Status)
	s.ctx.SetConnectionClose()
	date := append(fasthttp.AppendHTTPDate([]byte("Date: "), time.Now()), "\r\n"...)
	text := head.AppendClosing(nil)
	end := len(text) - len("\r\n")
	text = append(append(text[:end:end], date...), "\r\n"...)
	_, err := s.conn.Write(text)
	if err == nil && !s.head {
		err = s.copy()
	}
	s.conn.mute = true
	if err != nil {
		s.conn.reset() // its end would say that the answer is whole
	}
	return nil
}

// Read implements io.Reader: it writes the body, and returns its end, or why the
// client has to be told, by the end of its connection, that this is not all.
func (s *parts) Read([]byte) (int, error) {
	if err := s.copy(); err != nil {
		s.conn.lingers = true // what has been written is to arrive
		return 0, err
	}
	return 0, io.EOF
}

// copy writes the parts as they come, until the stream has ended.
func (s *parts) copy() error {
	bytes, stream := s.first, s.pending.Stream()
	s.first = nil
	for {
		if err := s.write(bytes); err != nil {
			return err
		}
		var err error
		if bytes, err = stream.Next(s.front.cfg.StreamIdle); err != nil {
			return s.ended(err)
		}
	}
}

// ended returns nil for the end of a stream. That one was cut is logged, unless
// the client has left or the front is being stopped.
func (s *parts) ended(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case !errors.Is(err, loopback.ErrGone) && !errors.Is(err, loopback.ErrClosed):
		s.front.log.Warn("stream cut", "request_id", s.id(), "err", err)
	}
	return err
}

// write writes a piece of the body.
func (s *parts) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	buf := s.front.chunks.Get().(*[]byte)
	defer s.front.chunks.Put(buf)
	for len(b) > 0 {
		n := min(len(b), chunk)
		out := (*buf)[:0]
		if s.chunked {
			out = append(strconv.AppendUint(out, uint64(n), 16), "\r\n"...)
		}
		out = append(out, b[:n]...)
		if s.chunked {
			out = append(out, "\r\n"...)
		}
		if _, err := s.conn.Write(out); err != nil {
			return err
		}
		s.sent += n
		b = b[n:]
	}
	return nil
}

func newChunk() any {
	b := make([]byte, 0, chunk+16)
	return &b
}

// Close implements io.Closer. A stream that has not ended is given up: its job
// is interrupted.
func (s *parts) Close() error {
	if s.pending == nil {
		return nil
	}
	s.pending.Abandon(loopback.ErrGone)
	s.conn.settled()
	s.pending.Release()
	s.pending = nil
	s.unspool()
	s.note(s.sent)
	return nil
}

// reset has the connection end by a reset.
func (c *conn) reset() {
	c.cutOff = true
	if l, ok := c.raw.(interface{ SetLinger(sec int) error }); ok {
		_ = l.SetLinger(0)
	}
}
