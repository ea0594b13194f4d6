// Package transport moves multi-frame messages between processes over ZMTP 3
// (ipc, tcp, and tls+tcp with mutual TLS) and inside one process (inproc), with the same semantics on every
// endpoint. It is the only importer of zmq4.
//
// # Shape
//
//	Send ─▶ queue ─▶ writer goroutine ─▶ framedConn ─▶ net.Conn
//	Handler ◀─ batch ◀─ reader goroutine ◀─ zmq4.Conn ◀─ framedConn (scanner) ◀─ net.Conn
//
// A [Listener] binds, a [Dialer] connects and reconnects; both turn connections
// into [Peer] values and report them to a [Handler]. Each peer has one reader
// and one writer goroutine and one queue, bounded by count and bytes, so that a
// stuck peer delays nobody else. There are no sockets in ZeroMQ's sense: which
// peer gets a message is the caller's decision.
//
// # What the library is trusted with
//
// zmq4 does greeting, framing and command encoding at its Conn level. It
// allocates what a frame header announces and panics on a malformed READY, so
// it sees no byte that was not checked: framedConn scans the frames on their way
// to it and enforces [Limits] on headers, consumes commands after the handshake
// and answers PING through the writer; the handshake is a zmq4.Security of our
// own which parses READY safely and checks socket types itself.
//
// # Batches
//
// The reader hands over what one read of the socket brought, just before it
// would block again; the writer writes everything queued, yields once when the
// queue has run dry, and flushes. So a busy connection costs few system calls
// and few hand-overs, and a quiet one waits for nothing.
//
// # Liveness
//
// A peer from which no byte came for [Options.PeerTimeout] is dead, unless it is
// our own handler that keeps the reader from reading. A peer that does not take
// bytes for [Options.WriteTimeout] is dead even if it goes on sending. No
// deadlines are set on the hot path: reader and writer leave marks which one
// timer per peer looks at. The TTL in a peer's PING is not used: our own
// PeerTimeout decides when a peer is dead.
//
// # Deliveries
//
// A message handed to the kernel may still be lost with the connection; what
// must be known is known by an answer. A [Dialer] keeps messages whose writing
// had not begun for its next connection, and reports the others as lost.
package transport
