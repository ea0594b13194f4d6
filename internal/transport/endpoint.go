package transport

import (
	"cmp"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Endpoint is a parsed endpoint.
//
//	tcp://host:port    host name, IPv4 or [IPv6] address, or nothing for
//	                   127.0.0.1; to bind also * (every IPv4 address), and port
//	                   0 or * for any free port
//	tls+tcp://host:port  the same with mutual TLS (Options.TLS)
//	ipc://path         socket file, absolute or relative; ipc://@name is a name
//	                   in Linux's abstract namespace
//	inproc://name      inside one process, in the namespace Options.Inproc
type Endpoint struct {
	Scheme  string // "tcp", "tls+tcp", "ipc" or "inproc"
	Address string // what stands behind ://
}

// String returns the endpoint as it is written.
func (e Endpoint) String() string { return e.Scheme + "://" + e.Address }

// EndpointError says what is wrong with an endpoint, and what to write instead.
type EndpointError struct {
	Endpoint string // as given
	Problem  string
	Advice   string
}

func (e *EndpointError) Error() string {
	return fmt.Sprintf("transport: endpoint %q: %s; %s", e.Endpoint, e.Problem, e.Advice)
}

// ParseEndpoint reads an endpoint that may be bound or dialed; only what the
// two have in common is checked, and nothing is looked up. Errors are
// *EndpointError.
func ParseEndpoint(s string) (Endpoint, error) {
	scheme, address, found := strings.Cut(s, "://")
	var err error
	switch {
	case !found:
		err = &EndpointError{s, "no transport", "write tcp://host:port, tls+tcp://host:port, ipc://path or inproc://name"}
	case scheme != "tcp" && scheme != secure && scheme != "ipc" && scheme != "inproc":
		err = &EndpointError{s, fmt.Sprintf("unknown transport %q", scheme), "use tcp, tls+tcp, ipc or inproc"}
	case address == "":
		err = &EndpointError{s, "no address", "write one behind ://"}
	case scheme == "tcp" || scheme == secure:
		err = checkTCP(s, scheme, address)
	case scheme == "ipc":
		err = checkIPC(s, address)
	}
	if err != nil {
		return Endpoint{}, err
	}
	return Endpoint{Scheme: scheme, Address: address}, nil
}

func checkTCP(endpoint, scheme, address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return &EndpointError{endpoint, "not host:port", "write " + scheme + "://host:port, an IPv6 address in brackets"}
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil && port != "*" {
		return &EndpointError{endpoint, fmt.Sprintf("port %q is not a number from 0 to 65535", port), "write " + scheme + "://host:port"}
	}
	return nil
}

// hostPort splits the address of an endpoint over TCP. Where no host is named
// that is the machine itself, and nobody else.
func (e Endpoint) hostPort() (host, port string) {
	host, port, _ = net.SplitHostPort(e.Address)
	return cmp.Or(host, loopbackHost), port
}

const (
	secure       = "tls+tcp"
	loopbackHost = "127.0.0.1"
)

// overTCP reports whether the endpoint has a host and a port.
func (e Endpoint) overTCP() bool { return e.Scheme == "tcp" || e.Scheme == secure }

func checkIPC(endpoint, path string) error {
	switch {
	case path == "*":
		return &EndpointError{endpoint, "wildcard", "name a file that both sides know"}
	case path == "@":
		return &EndpointError{endpoint, "no name behind @", "write ipc://@name"}
	case strings.IndexByte(path, 0) >= 0:
		return &EndpointError{endpoint, "a NUL in the path", "write it without"}
	case len(path) > maxSocketPath:
		return &EndpointError{
			endpoint,
			fmt.Sprintf("the path has %d bytes, sockets allow %d", len(path), maxSocketPath),
			"use a shorter or a relative one",
		}
	}
	return nil
}

// checkDial refuses what only a listener may name.
func (e Endpoint) checkDial() error {
	if !e.overTCP() {
		return nil
	}
	host, port := e.hostPort()
	if n, err := strconv.Atoi(port); host == "*" || err != nil || n == 0 {
		return &EndpointError{e.String(), "wildcards are for binding", "name the host and port to connect to"}
	}
	return nil
}
