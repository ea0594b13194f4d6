package httpfront

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// watcher sees clients leave, by one epoll set for all connections. Each is
// added once, when it is accepted, and asks for no readability: data that
// comes wakes nobody, and a FIN or reset shows even behind unread data. The
// set is itself waited for by Go's poller, so it costs no thread.
//
// The descriptor leaves the set when it is closed. Events carry the
// connection's number, not its descriptor, which may have been used again.
type watcher struct {
	conns *registry
	set   *os.File
	raw   syscall.RawConn
}

func newWatcher(conns *registry) (*watcher, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	// Only a file that does not block goes to Go's poller.
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	w := &watcher{conns: conns, set: os.NewFile(uintptr(fd), "epoll")}
	if w.raw, err = w.set.SyscallConn(); err != nil {
		_ = w.set.Close()
		return nil, err
	}
	return w, nil
}

// add starts watching c. A client that has left already is noticed too.
func (w *watcher) add(c *conn) error {
	sc, ok := c.raw.(syscall.Conn)
	if !ok {
		return nil
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	event := unix.EpollEvent{
		Events: unix.EPOLLRDHUP | unix.EPOLLET, // EPOLLERR and EPOLLHUP always come
		Fd:     int32(uint32(c.number)),
		Pad:    int32(uint32(c.number >> 32)),
	}
	var failed error
	err = rc.Control(func(fd uintptr) {
		failed = w.raw.Control(func(set uintptr) {
			err = unix.EpollCtl(int(set), unix.EPOLL_CTL_ADD, int(fd), &event)
		})
		if failed == nil {
			failed = err
		}
	})
	if failed != nil {
		return fmt.Errorf("epoll_ctl: %w", failed)
	}
	return err
}

// run notices leaving clients until close.
func (w *watcher) run() {
	events := make([]unix.EpollEvent, 128)
	// The error is that of a closed file.
	_ = w.raw.Read(func(fd uintptr) bool {
		for {
			n, err := unix.EpollWait(int(fd), events, 0)
			if n == 0 && err == nil {
				return false // wait until the set is readable
			}
			for i := range max(n, 0) {
				w.notice(&events[i])
			}
			if err != nil && err != unix.EINTR {
				return true
			}
		}
	})
}

func (w *watcher) notice(e *unix.EpollEvent) {
	c := w.conns.find(uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32)
	switch {
	case c == nil:
	case e.Events&(unix.EPOLLERR|unix.EPOLLHUP) != 0:
		c.notice(gone)
	case e.Events&unix.EPOLLRDHUP != 0:
		c.notice(halfClosed)
	}
}

// close ends run.
func (w *watcher) close() { _ = w.set.Close() }
