package cluster

import (
	"fmt"
	"net"
	"strings"

	"github.com/butterfly-zmq/butterfly/internal/mtls"
	"github.com/butterfly-zmq/butterfly/internal/transport"
)

// CheckEndpoint says what is wrong with an endpoint that other processes are to
// reach: tcp://host:port, tls+tcp://host:port or ipc:///path.
func CheckEndpoint(s string) error {
	e, err := transport.ParseEndpoint(s)
	if err != nil {
		return err
	}
	if e.Scheme == "inproc" {
		return fmt.Errorf("%q is inside one process: want tcp://host:port, tls+tcp://host:port or ipc:///path", s)
	}
	return nil
}

// IsTLS reports whether an endpoint is tls+tcp, and needs certificates, or one of
// several with commas between.
func IsTLS(endpoint string) bool { return strings.Contains(endpoint, "tls+tcp://") }

// IsOpen reports whether an endpoint, once bound, is plain tcp that others than
// this machine get to.
func IsOpen(endpoint string) bool {
	address, plain := strings.CutPrefix(endpoint, "tcp://")
	host, _, err := net.SplitHostPort(address)
	if !plain || err != nil || host == "" || strings.EqualFold(host, "localhost") {
		return false
	}
	ip := net.ParseIP(host)
	return ip == nil || !ip.IsLoopback()
}

// CheckName says what is wrong with a name that certificates may bear, or many:
// proxy.example, *.example, spiffe://example/proxy, spiffe://example/workers/*.
func CheckName(s string) error { return mtls.CheckName(s) }

// MTLS is who a part is at tls+tcp endpoints, and whom it meets there.
type MTLS = mtls.Config
