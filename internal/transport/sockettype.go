package transport

import (
	"slices"

	"github.com/go-zeromq/zmq4"
)

// SocketType says what ZeroMQ socket this side is to its peers. It decides
// which peers are compatible, and which way messages go.
type SocketType string

// The socket types that butterfly's processes use.
const (
	Dealer SocketType = "DEALER" // both ways
	Router SocketType = "ROUTER" // both ways; the Peer is the address
	Push   SocketType = "PUSH"   // sends
	Pull   SocketType = "PULL"   // receives
	Pub    SocketType = "PUB"    // sends with Listener.Publish
	Sub    SocketType = "SUB"    // receives what it subscribed to
)

// compatible lists the types that may stand on the other side. zmq4 has such a
// table as well, but panics on a type that it does not know.
func (t SocketType) compatible() []string {
	switch t {
	case Dealer:
		return []string{"ROUTER", "DEALER", "REP"}
	case Router:
		return []string{"DEALER", "ROUTER", "REQ"}
	case Push:
		return []string{"PULL"}
	case Pull:
		return []string{"PUSH"}
	case Pub:
		return []string{"SUB", "XSUB"}
	case Sub:
		return []string{"PUB", "XPUB"}
	}
	return nil
}

func (t SocketType) valid() bool               { return t.compatible() != nil }
func (t SocketType) accepts(other string) bool { return slices.Contains(t.compatible(), other) }
func (t SocketType) sends() bool               { return t != Pull && t != Sub }
func (t SocketType) receives() bool            { return t != Push && t != Pub }
func (t SocketType) zmq() zmq4.SocketType      { return zmq4.SocketType(t) }
