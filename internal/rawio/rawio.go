// Package rawio makes reading and writing of sockets cheaper where the system
// allows it.
package rawio

import "net"

// Wrap returns a connection that behaves as c, which it takes over. On Linux a
// TCP or Unix connection reads and writes without the preparations that the
// runtime makes for system calls that may block: these cannot, since Go's
// sockets do not block, and when more threads than cores want to run, as in a
// proxy beside its front and workers, the runtime would take a processor away
// from a call that only waited for its turn. Elsewhere it returns c.
func Wrap(c net.Conn) net.Conn { return wrap(c) }
