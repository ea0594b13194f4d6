// Package transport moves multi-frame messages between processes over ZMTP,
// and inside one process, with the same semantics on every endpoint.
package transport

// Message is a ZeroMQ message: its frames in order.
type Message [][]byte

// Notifier is told the fate of one message.
type Notifier interface {
	// Sent is called once: with nil when the message's last byte has been
	// handed to the kernel, else with why it never will be. It must not block.
	Sent(err error)
}
