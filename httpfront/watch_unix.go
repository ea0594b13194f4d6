//go:build unix && !linux

package httpfront

import (
	"errors"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// peekEvery is how often connections with a waiting request are looked at.
const peekEvery = 50 * time.Millisecond

// watcher sees clients leave by peeking at the connections with a waiting
// request, every peekEvery. A client that has sent more before it left is not
// noticed: what it sent hides the end.
type watcher struct {
	conns *registry
	stop  chan struct{}
}

func newWatcher(conns *registry) (*watcher, error) {
	return &watcher{conns: conns, stop: make(chan struct{})}, nil
}

func (w *watcher) add(*conn) error { return nil }

// run notices leaving clients until close.
func (w *watcher) run() {
	tick := time.NewTicker(peekEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.conns.each(peek)
		case <-w.stop:
			return
		}
	}
}

func (w *watcher) close() { close(w.stop) }

// waiting reports whether a request waits for its answer.
func (c *conn) waiting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pending != nil
}

func peek(c *conn) {
	sc, ok := c.raw.(syscall.Conn)
	if !ok || !c.waiting() {
		return
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return
	}
	_ = rc.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		switch {
		case err == nil && n == 0:
			c.notice(halfClosed)
		case errors.Is(err, unix.ECONNRESET):
			c.notice(gone)
		}
	})
}
