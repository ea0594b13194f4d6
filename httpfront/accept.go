package httpfront

import (
	"errors"
	"net"
	"os"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/internal/rawio"
	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// How long accepting waits after an error, which is usually the lack of
// descriptors: doubled from the first to the last.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
)

// maxTurnedAway bounds the connections over MaxConns that are being told so;
// more are just closed.
const maxTurnedAway = 64

// When the front drains connections are still accepted until none has waited for
// lastCall, at most for lastCalls in all: closing the listener resets those that
// wait for it.
const (
	lastCall  = 10 * time.Millisecond
	lastCalls = time.Second
)

// accept serves connections until the front drains, and closes the listener.
func (f *Front) accept(ln *net.TCPListener) {
	defer ln.Close()
	away := make(chan struct{}, maxTurnedAway)
	pause := firstPause
	var end time.Time // of the last calls
	for {
		if now := time.Now(); !end.IsZero() && now.Before(end) {
			_ = ln.SetDeadline(now.Add(lastCall))
		}
		nc, err := ln.Accept()
		switch {
		case err == nil:
			pause = firstPause
			f.admit(rawio.Wrap(nc), away)
		case errors.Is(err, os.ErrDeadlineExceeded) && !end.IsZero():
			return
		case errors.Is(err, os.ErrDeadlineExceeded): // set by drain
			end = time.Now().Add(lastCalls)
		default:
			f.log.Warn("connection not accepted", "err", err, "pause", pause)
			select {
			case <-time.After(pause):
			case <-f.closing:
			}
			pause = min(2*pause, lastPause)
		}
	}
}

// admit serves a new connection in a goroutine of its own, or turns it away.
func (f *Front) admit(nc net.Conn, away chan struct{}) {
	c := newConn(f, nc)
	err := f.conns.add(c)
	if err == nil {
		f.conns.serving.Go(func() {
			if err := f.watcher.add(c); err != nil {
				f.log.Warn("connection not watched: its client's leaving goes unnoticed", "err", err)
			}
			if err := c.handshake(); err != nil {
				c.cutOff = true
				_ = c.Close()
				return
			}
			// The error is the client's, who has been told.
			_ = f.server.ServeConn(c)
		})
		// Since Accept; each may have missed it.
		switch {
		case f.stopped.Load():
			c.cut()
		case f.draining.Load():
			c.drain()
		}
		return
	}
	if f.certs != nil { // a handshake would cost more than the one request that is refused
		_ = nc.Close()
		return
	}
	select {
	case away <- struct{}{}:
		f.conns.serving.Go(func() {
			turnAway(nc, err, f.cfg.HeaderTimeout)
			<-away
		})
	default:
		_ = nc.Close()
	}
}

// turnAway tells a client why there is no connection for it, without TLS.
func turnAway(nc net.Conn, why error, timeout time.Duration) {
	defer nc.Close()
	info := wire.Info{Version: 1, Close: true}
	told := refusalOf(why)
	r := httptext.NewText(told.status, told.message)
	r.Header.Set("Retry-After", httptext.RetryAfter(0))
	_ = nc.SetDeadline(time.Now().Add(min(timeout, lingerTotal)))
	if _, err := nc.Write(r.Render(&info, false)); err == nil {
		linger(nc, func() bool { return false })
	}
}

// A closing server that has not read all that the client sent causes a reset,
// which destroys the answer before the client has read it. It lingers instead
// (RFC 9112, section 9.6): reads on, for a while, which is shorter when it is in
// a hurry. Most clients end their side when they see that we have ended ours.
const (
	lingerTotal = 5 * time.Second
	lingerPause = time.Second // with nothing from the client
	hurryTotal  = time.Second
	hurryPause  = 100 * time.Millisecond
)

// linger ends our side of the connection and reads until the client ends its
// own, or gives up.
func linger(nc net.Conn, hurried func() bool) {
	half, ok := nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	began := time.Now()
	buf := make([]byte, 4096)
	for {
		end, pause := began.Add(lingerTotal), lingerPause
		if hurried() {
			end, pause = began.Add(hurryTotal), hurryPause
		}
		now := time.Now()
		if !now.Before(end) || nc.SetReadDeadline(now.Add(min(pause, end.Sub(now)))) != nil {
			return
		}
		if _, err := nc.Read(buf); err != nil {
			return
		}
	}
}
