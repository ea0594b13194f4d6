package httpfront

import (
	"net"
	"syscall"
	"testing"

	"github.com/butterfly-zmq/butterfly/internal/rawio"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// What watching a connection costs once, when it is accepted, and once more in
// the kernel when it is closed. There is no cost while it is idle but an entry
// in the kernel's set.
func BenchmarkWatchConnection(b *testing.B) {
	r := newRegistry(1, 1)
	w, err := newWatcher(&r)
	require.NoError(b, err)
	defer w.close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	defer ln.Close()
	peer, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(b, err)
	defer peer.Close()
	nc, err := ln.Accept()
	require.NoError(b, err)
	defer nc.Close()
	c := &conn{Conn: rawio.Wrap(nc), number: 1}
	rc, err := c.Conn.(syscall.Conn).SyscallConn()
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, w.add(c))
		_ = rc.Control(func(fd uintptr) {
			_ = w.raw.Control(func(set uintptr) {
				_ = unix.EpollCtl(int(set), unix.EPOLL_CTL_DEL, int(fd), nil)
			})
		})
	}
}

// What watching costs a request: the connection is told that it waits, and that
// it does not any more.
func BenchmarkWatchRequest(b *testing.B) {
	table, err := loopback.NewTable(loopback.TableConfig{})
	require.NoError(b, err)
	p, err := table.Open(loopback.Ask{})
	require.NoError(b, err)
	c := &conn{front: &Front{}}
	b.ReportAllocs()
	for b.Loop() {
		c.await(p)
		c.settled()
	}
}
