package graph

import (
	"fmt"
	"net"
	"strings"
)

// checkNetwork warns of plain tcp endpoints that others than this machine get
// to, in a network that the file does not call private. One line is enough: it
// is said again at each start.
func (c *checker) checkNetwork(bound []socket) {
	if c.g.Network == NetworkPrivate {
		return
	}
	var open []*socket
	for i := range bound {
		if s := &bound[i]; s.scheme == "tcp" && !s.tls && !s.http && !s.local() {
			open = append(open, s)
		}
	}
	if len(open) == 0 {
		return
	}
	message := "plain tcp beyond this machine: whoever gets to the port can send jobs and answers, and read them"
	if more := len(open) - 1; more > 0 {
		message += fmt.Sprintf("; so it is with %d more", more)
	}
	c.warn(open[0].problem(message, "write tls+tcp://, an address of this machine, or network: private at the top where nobody else gets there"))
}

// local reports whether only this machine gets to the endpoint.
func (e *endpointParts) local() bool {
	ip := net.ParseIP(e.host)
	return strings.EqualFold(e.host, "localhost") || ip != nil && ip.IsLoopback()
}
