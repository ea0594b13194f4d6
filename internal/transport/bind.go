package transport

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// maxSocketPath is what a socket's address holds, less the NUL behind it.
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1

var (
	errSocketLive = errors.New("another process listens there")
	errNotSocket  = errors.New("the file exists and is not a socket")
)

// listen binds e and returns it with the address it really got. Errors are
// *BindError.
func (e Endpoint) listen(o *Options) (net.Listener, Endpoint, error) {
	var l net.Listener
	var err error
	switch e.Scheme {
	case "tcp", secure:
		if l, err = e.listenTCP(); err == nil {
			e.Address = l.Addr().String()
		}
	case "ipc":
		l, err = listenIPC(e.Address)
	default:
		l, err = o.Inproc.listen(e.Address)
	}
	if err != nil {
		return nil, e, &BindError{Endpoint: e.String(), Err: err}
	}
	return l, e, nil
}

// listenTCP binds ZeroMQ's wildcards too. The host * stands for all IPv4
// addresses, as in libzmq, whose peers could not use the address of a socket
// for both families; who wants both writes [::].
func (e Endpoint) listenTCP() (net.Listener, error) {
	host, port := e.hostPort()
	if port == "*" {
		port = "0"
	}
	if host == "*" {
		return net.Listen("tcp4", net.JoinHostPort("0.0.0.0", port))
	}
	return net.Listen("tcp", net.JoinHostPort(host, port))
}

// listenIPC binds a socket file, in place of one that a process left behind. The
// listener removes it when it is closed.
func listenIPC(path string) (net.Listener, error) {
	if !strings.HasPrefix(path, "@") {
		if err := removeStale(path); err != nil {
			return nil, err
		}
	}
	return net.Listen("unix", path)
}

// removeStale removes a socket file behind which nobody listens, and refuses
// any other file.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSocket == 0:
		return errNotSocket
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = conn.Close()
		return errSocketLive
	}
	if !errors.Is(err, errRefused) {
		return fmt.Errorf("cannot tell whether its socket file is in use: %w", err)
	}
	return os.Remove(path)
}
