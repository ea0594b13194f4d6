//go:build linux && !race

package rawio

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// conn reads and writes by way of the runtime's poller, but with its own
// system calls.
type conn struct {
	net.Conn
	raw         syscall.RawConn
	read, write half
}

func wrap(c net.Conn) net.Conn {
	switch c.(type) {
	case *net.TCPConn, *net.UnixConn:
	default:
		return c
	}
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return c
	}
	w := &conn{Conn: c, raw: raw}
	w.read.init("read", syscall.SYS_READ)
	w.write.init("write", syscall.SYS_WRITE)
	return w
}

// SyscallConn implements syscall.Conn.
func (c *conn) SyscallConn() (syscall.RawConn, error) { return c.raw, nil }

// SetLinger sets what Close does with what has not been sent (net.TCPConn).
func (c *conn) SetLinger(sec int) error {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		return tcp.SetLinger(sec)
	}
	return nil
}

// CloseWrite closes the writing half.
func (c *conn) CloseWrite() error { return c.Conn.(interface{ CloseWrite() error }).CloseWrite() }

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	h := &c.read
	h.mu.Lock()
	defer h.mu.Unlock()
	h.p = p
	n, err := h.outcome(c, c.raw.Read(h.try))
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	h := &c.write
	h.mu.Lock()
	defer h.mu.Unlock()
	written := 0
	for written < len(p) {
		h.p = p[written:]
		n, err := h.outcome(c, c.raw.Write(h.try))
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// half is one direction of a connection. Its function is made once: a closure
// for each call would be an allocation for each.
type half struct {
	name string
	try  func(fd uintptr) (done bool)

	mu    sync.Mutex // guards the fields below: one call at a time
	p     []byte
	n     int
	errno syscall.Errno
}

func (h *half) init(name string, call uintptr) {
	h.name = name
	h.try = func(fd uintptr) bool {
		for {
			n, _, errno := syscall.RawSyscall(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(h.p))), uintptr(len(h.p)))
			switch errno {
			case syscall.EINTR:
				continue
			case syscall.EAGAIN:
				return false
			case 0:
				h.n, h.errno = int(n), 0
			default:
				h.n, h.errno = 0, errno
			}
			return true
		}
	}
}

// outcome returns what came of one call; err is the poller's.
func (h *half) outcome(c *conn, err error) (int, error) {
	n, errno := h.n, h.errno
	h.p, h.n, h.errno = nil, 0, 0
	if err == nil && errno != 0 {
		err = &net.OpError{
			Op: h.name, Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(),
			Err: os.NewSyscallError(h.name, errno),
		}
	}
	return n, err
}
