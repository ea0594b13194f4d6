package transport

import (
	"errors"
	"net"
)

const (
	writeBufferSize = 64 << 10
	// directWrite is the size from which bytes go to the kernel from where
	// they are.
	directWrite = 32 << 10
	// writePiece is the most that is given to the kernel at once, so that the
	// watchdog sees progress in a large frame.
	writePiece = 256 << 10
)

// writeBuffer is the writing half of a framedConn. It belongs to the goroutine
// that writes.
type writeBuffer struct {
	buf     []byte // nil during the handshake: writes go straight through
	written int64  // bytes that Write has taken
	flushed int64  // bytes of them that the kernel has taken
}

func (b *writeBuffer) start() { b.buf = make([]byte, 0, writeBufferSize) }

// Write takes p: into the buffer during traffic, to the kernel during the
// handshake and where p is large.
func (c *framedConn) Write(p []byte) (int, error) {
	c.out.written += int64(len(p))
	if c.out.buf == nil {
		return len(p), c.writeSocket(p)
	}
	if len(c.out.buf)+len(p) > cap(c.out.buf) || len(p) >= directWrite {
		if err := c.Flush(); err != nil {
			return 0, err
		}
	}
	if len(p) >= directWrite {
		return len(p), c.writeSocket(p)
	}
	c.out.buf = append(c.out.buf, p...)
	return len(p), nil
}

// Flush hands the buffer to the kernel. After an error the connection is of no
// use: part of the buffer may have left.
func (c *framedConn) Flush() error {
	buf := c.out.buf
	c.out.buf = buf[:0]
	return c.writeSocket(buf)
}

// writeSocket writes p in pieces, each between two marks for the watchdog.
func (c *framedConn) writeSocket(p []byte) error {
	for len(p) > 0 {
		piece := p[:min(len(p), writePiece)]
		c.writes.Add(1)
		n, err := c.Conn.Write(piece)
		c.writes.Add(1)
		c.out.flushed += int64(n)
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// closeWrite ends the writing half of the connection: the other side reads what
// was written, and then its end.
func (c *framedConn) closeWrite() error {
	for nc := c.Conn; ; {
		if half, ok := nc.(interface{ CloseWrite() error }); ok {
			return half.CloseWrite()
		}
		wrapped, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return errNoHalf
		}
		nc = wrapped.NetConn()
	}
}

var errNoHalf = errors.New("transport: the connection cannot be closed by halves")

// unflushed reports whether bytes wait in the buffer.
func (c *framedConn) unflushed() bool { return len(c.out.buf) > 0 }
