package httpfront

import (
	"net"

	"golang.org/x/sys/unix"
)

// noMoreSYN lets in every segment that does not begin a connection. It looks at
// the flags of the TCP header, where a socket's filter starts.
var noMoreSYN = []unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 13},
	{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, Jt: 0, Jf: 1, K: 0x02},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	{Code: unix.BPF_RET | unix.BPF_K, K: 1 << 18},
}

// lastOnes keeps new connections from being made, so that those waiting to be
// accepted are the last ones. Their clients try again after a second, and are
// refused then. Where this does not work a connection that is made between the
// last accept and the close is reset.
func lastOnes(ln *net.TCPListener) error {
	rc, err := ln.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = rc.Control(func(fd uintptr) {
		failed = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			&unix.SockFprog{Len: uint16(len(noMoreSYN)), Filter: &noMoreSYN[0]})
	})
	if failed != nil {
		return failed
	}
	return err
}
