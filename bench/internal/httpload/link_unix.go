//go:build unix

package httpload

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// link is a connection that puts off every write until the read of the answer.
//
// net.Conn's Read asks the kernel at once, in vain since no answer can be
// there yet, then waits and asks again. Writing inside the RawConn's read, on
// its first turn, skips the vain call: a turn is one write, one wait, one read.
// That makes the generator about as cheap as wrk (figures in bench/README.md).
// The wait cannot miss the answer, because the runtime arms it before the write.
type link struct {
	guard
	raw     syscall.RawConn
	unsent  []byte // what Send left for Read
	into    []byte // where Read puts the answer
	n       int
	err     error
	onReady func(fd uintptr) bool // l.step, bound once
}

func newLink(conn net.Conn) (*link, error) {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("a %T has no descriptor: %w", conn, errors.ErrUnsupported)
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	l := &link{guard: guard{Conn: conn}, raw: raw}
	l.onReady = l.step
	return l, nil
}

// Send leaves b to be written by the next Read; b must not change until then.
func (l *link) Send(b []byte) error {
	l.unsent = b
	return nil
}

// Read writes what Send left, waits, and reads.
func (l *link) Read(p []byte) (int, error) {
	l.into, l.n, l.err = p, 0, nil
	if err := l.raw.Read(l.onReady); err != nil {
		return 0, err
	}
	return l.n, l.err
}

// step runs when Read begins and whenever the descriptor becomes readable. It
// reports whether Read is done.
func (l *link) step(fd uintptr) bool {
	if len(l.unsent) > 0 {
		l.err = l.flush(int(fd))
		return l.err != nil
	}
	for {
		l.n, l.err = readFD(int(fd), l.into)
		if !errors.Is(l.err, syscall.EINTR) {
			break
		}
	}
	if l.n < 0 {
		l.n = 0
	}
	return !errors.Is(l.err, syscall.EAGAIN)
}

// flush writes what Send left. What the socket's buffer does not hold, such as a
// large body, goes the usual way and may block, up to the deadline.
func (l *link) flush(fd int) error {
	n, err := writeFD(fd, l.unsent)
	rest := l.unsent[max(n, 0):]
	l.unsent = nil
	if err != nil && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR) {
		return err
	}
	if len(rest) > 0 {
		_, err = l.Conn.Write(rest)
		return err
	}
	return nil
}
