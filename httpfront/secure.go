package httpfront

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"os"
	"time"
)

// plainRefusal is what a client is told that speaks HTTP where TLS is spoken.
const plainRefusal = "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n" +
	"this address speaks HTTPS only\n"

// handshake makes a connection ready for requests, within HeaderTimeout: it is
// done in the connection's own goroutine, and nobody waits for it. A client that
// has not finished when the front drains has as long as a new connection has.
func (c *conn) handshake() error {
	if c.secure == nil {
		return nil
	}
	if err := c.limitHandshake(); err != nil {
		return err
	}
	err := c.secure.Handshake()
	c.read.forget()
	c.write.forget()
	if err == nil {
		return nil
	}
	c.front.log.Debug("TLS handshake failed", "peer", c.RemoteAddr(), "err", err)
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &plain) && plain.Conn != nil && looksLikeHTTP(plain.RecordHeader[:]):
		_, _ = c.raw.Write([]byte(plainRefusal))
	case errors.Is(err, io.EOF), errors.Is(err, os.ErrDeadlineExceeded):
		return err
	}
	linger(c.raw, c.front.draining.Load) // the client has been told, and may still be sending
	return err
}

func (c *conn) limitHandshake() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = true // for drain
	end := time.Now().Add(c.front.cfg.HeaderTimeout)
	if err := c.raw.SetDeadline(end); err != nil {
		return err
	}
	if c.front.draining.Load() {
		return c.look()
	}
	return nil
}

// looksLikeHTTP reports whether the first five bytes of a connection are those
// of a request.
func looksLikeHTTP(b []byte) bool {
	for _, begin := range []string{"GET /", "HEAD ", "POST ", "PUT /", "PATCH", "DELET", "OPTIO", "CONNE"} {
		if bytes.Equal(b, []byte(begin)) {
			return true
		}
	}
	return false
}

// shut closes the connection. Under TLS the client is told that this is the
// end, unless an answer was cut: for one whose end is that of the connection
// that would say that it is whole.
func (c *conn) shut() error {
	if c.secure == nil || c.cutOff {
		return c.raw.Close()
	}
	return c.secure.Close()
}
