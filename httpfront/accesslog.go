package httpfront

import (
	"io"
	"log/slog"
	"strconv"
	"sync"
	"time"
)

const (
	accessEvery = time.Second // at the latest
	accessFull  = 64 << 10    // flushed at once
	accessMax   = 1 << 20     // held for a slow writer; more is lost
)

// accessLog gathers lines and writes them in batches, in a goroutine of its
// own, so that a request costs a copy and never waits for the writer.
type accessLog struct {
	to     io.Writer
	log    *slog.Logger
	full   chan struct{} // holds a token: flush now
	closed chan struct{}

	mu     sync.Mutex // guards the fields below
	buf    []byte
	lost   int
	second int64 // that stamp is of
	stamp  []byte
}

func newAccessLog(to io.Writer, log *slog.Logger) *accessLog {
	return &accessLog{to: to, log: log, full: make(chan struct{}, 1), closed: make(chan struct{})}
}

// note adds the line of an exchange whose answer is ready, or has left if it was
// a stream, at now: in common log format with the bytes of the body, then microseconds
// and the request's id.
//
//	127.0.0.1 - - [02/Jan/2006:15:04:05 +0000] "GET / HTTP/1.1" 200 2 153 id
func (a *accessLog) note(x *exchange, now time.Time, bytes int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.buf) >= accessMax {
		a.lost++
		return
	}
	b := appendHost(a.buf, x)
	b = append(b, " - - ["...)
	b = append(b, a.time(now)...)
	b = append(b, `] "`...)
	b = x.appendRequest(b)
	b = append(b, `" `...)
	b = strconv.AppendInt(b, int64(x.ctx.Response.StatusCode()), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(bytes), 10)
	b = append(b, ' ')
	b = x.appendTook(b, now)
	b = x.appendID(b)
	a.buf = append(b, '\n')
	if len(a.buf) >= accessFull {
		select {
		case a.full <- struct{}{}:
		default:
		}
	}
}

// appendRequest appends the request line, or a dash for one that could not be
// read.
func (x *exchange) appendRequest(dst []byte) []byte {
	if x.began.IsZero() {
		return append(dst, '-')
	}
	h := &x.ctx.Request.Header
	dst = appendQuoted(dst, h.Method())
	dst = append(dst, ' ')
	dst = appendQuoted(dst, h.RequestURI())
	dst = append(dst, ' ')
	return appendQuoted(dst, h.Protocol())
}

func (x *exchange) appendTook(dst []byte, now time.Time) []byte {
	if !x.began.IsZero() {
		dst = strconv.AppendInt(dst, now.Sub(x.began).Microseconds(), 10)
	} else {
		dst = append(dst, '-')
	}
	return append(dst, ' ')
}

// time formats now, once a second.
func (a *accessLog) time(now time.Time) []byte {
	if s := now.Unix(); s != a.second {
		a.second = s
		a.stamp = now.AppendFormat(a.stamp[:0], "02/Jan/2006:15:04:05 -0700")
	}
	return a.stamp
}

// run writes until close, and then what is left.
func (a *accessLog) run() {
	tick := time.NewTicker(accessEvery)
	defer tick.Stop()
	var spare []byte
	for open := true; open; {
		select {
		case <-tick.C:
		case <-a.full:
		case <-a.closed:
			open = false
		}
		spare = a.flush(spare)
	}
}

func (a *accessLog) close() { close(a.closed) }

// flush writes what was gathered while spare gathers, and returns the buffer
// written, to be the next spare.
func (a *accessLog) flush(spare []byte) []byte {
	a.mu.Lock()
	full, lost := a.buf, a.lost
	a.buf, a.lost = spare[:0], 0
	a.mu.Unlock()
	if lost > 0 {
		a.log.Warn("access log lines lost: the writer is too slow", "lines", lost)
	}
	if len(full) > 0 {
		if _, err := a.to.Write(full); err != nil {
			a.log.Warn("access log not written", "err", err)
		}
	}
	return full
}

// appendHost appends the address of the client, or a dash for one without.
func appendHost(dst []byte, x *exchange) []byte {
	switch {
	case x.asker.IsValid():
		return x.asker.AppendTo(dst)
	case x.conn.peer.IsValid():
		return x.conn.peer.AppendTo(dst)
	}
	return append(dst, '-')
}

// appendQuoted appends s so that it cannot end the quotes or the line.
func appendQuoted(dst, s []byte) []byte {
	const digits = "0123456789ABCDEF"
	for _, c := range s {
		if c < ' ' || c == '"' || c == '\\' || c == 0x7f {
			dst = append(dst, '\\', 'x', digits[c>>4], digits[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}
