package httpfront

import (
	"errors"
	"io"
	"os"
	"time"
)

// A client that leaves may say so inside the encryption only (close_notify),
// where the watcher cannot see it. So while a request waits its TLS connection
// is read from, as net/http does with every one: what comes is kept for the next
// request.
const (
	// aheadAfter is how long a request waits before that begins: most are
	// answered before, and cost no more than a timer.
	aheadAfter = 25 * time.Millisecond
	// aheadMost is how much is read: behind more, the end is not seen.
	aheadMost = 512
)

// ahead reads a connection while its request waits.
type ahead struct {
	timer   *time.Timer
	reading chan struct{} // closed when the goroutine has ended that reads; nil: none was started
	buf     []byte        // what came; belongs to that goroutine until it has ended
}

// lookAhead has the connection read soon. It is called with the lock, and
// before the request waits.
func (c *conn) lookAhead() {
	if c.secure == nil || len(c.buf) >= aheadMost {
		return
	}
	if c.ahead.timer == nil {
		c.ahead.timer = time.AfterFunc(aheadAfter, c.readAhead)
		return
	}
	c.ahead.timer.Reset(aheadAfter)
}

// readAhead runs in a goroutine of its own. That of an earlier request may come
// late: then it only begins early.
func (c *conn) readAhead() {
	c.mu.Lock()
	if c.pending == nil || c.ahead.reading != nil {
		c.mu.Unlock()
		return
	}
	ended := make(chan struct{})
	c.ahead.reading = ended
	_ = c.raw.SetReadDeadline(time.Time{})
	c.mu.Unlock()
	defer close(ended)
	buf := make([]byte, 0, aheadMost)
	for len(buf) < cap(buf) {
		n, err := c.Conn.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		c.ahead.buf = buf
		if err != nil {
			c.noticeEnd(err)
			return
		}
	}
}

// noticeEnd is told of an error of reading, which is the next read's too. An end
// may be that of one direction only; other errors leave nothing to write to.
func (c *conn) noticeEnd(err error) {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded): // stopAhead
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		c.notice(halfClosed)
	default:
		c.notice(gone)
	}
}

// stopAhead ends reading ahead, and puts what came behind what had come before.
// The goroutine that serves the connection calls it once its request has ended,
// without the lock.
func (c *conn) stopAhead() {
	if c.ahead.timer == nil {
		return
	}
	c.mu.Lock()
	c.ahead.timer.Stop()
	reading := c.ahead.reading
	if reading != nil {
		_ = c.raw.SetReadDeadline(time.Unix(1, 0))
	}
	c.mu.Unlock()
	if reading == nil {
		return
	}
	<-reading
	c.mu.Lock()
	c.ahead.reading = nil
	c.mu.Unlock()
	if came := c.ahead.buf; len(came) > 0 {
		c.buf = append(c.buf[:len(c.buf):len(c.buf)], came...)
	}
	c.ahead.buf = nil
	c.read.forget()
	c.timed = false
}
