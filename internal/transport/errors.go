package transport

import (
	"errors"
	"fmt"
	"time"
)

// The conditions that callers tell apart without looking at details.
var (
	// ErrQueueFull matches every *QueueFullError.
	ErrQueueFull = errors.New("transport: queue full")
	// ErrPeerGone is returned by Peer.Send when the connection has ended.
	ErrPeerGone = errors.New("transport: peer gone")
	// ErrWaiting tells a Notifier that its message stays in a Dialer's queue
	// for the next connection: it is not lost, and nobody is told when it goes.
	ErrWaiting = errors.New("transport: waiting for a connection")
	// ErrUnsent tells a Notifier that the connection was lost before the writing
	// of its message began, and that it is the sender's again: Options.GiveBack.
	ErrUnsent = errors.New("transport: the connection was lost before the message was sent")
	// ErrClosed says that the Listener or Dialer has been closed.
	ErrClosed = errors.New("transport: closed")
	// ErrNotSender is returned by Send on a socket that only receives, and on
	// a Pub socket, which publishes.
	ErrNotSender = errors.New("transport: this socket type does not send")
	// ErrNoFrames is returned by Send for a message without frames.
	ErrNoFrames = errors.New("transport: message without frames")
	// ErrRunning is returned by a second call of Run.
	ErrRunning = errors.New("transport: Run was called before")
)

// QueueFullError says that a peer's queue takes no more. Nothing was queued.
type QueueFullError struct {
	Peer  string // the remote address or endpoint
	Count int    // messages accepted and not yet handed to the kernel
	Bytes int64  // their bytes, with headers
}

func (e *QueueFullError) Error() string {
	return fmt.Sprintf("transport: queue for %s is full: %d messages, %d bytes", e.Peer, e.Count, e.Bytes)
}

// Is makes errors.Is(err, ErrQueueFull) true.
func (e *QueueFullError) Is(target error) bool { return target == ErrQueueFull }

// LimitError says that a message exceeds Limits. If a peer announced it, its
// connection is closed before anything of that size is allocated; if it was to
// be sent, it was not.
type LimitError struct {
	What  string // "frame bytes", "message bytes", "message frames", "command bytes", …
	Value uint64
	Max   uint64
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("transport: %s: %d announced, at most %d allowed", e.What, e.Value, e.Max)
}

// ProtocolError says that what came from a peer is not ZMTP as we speak it.
type ProtocolError struct {
	What string
}

func (e *ProtocolError) Error() string { return "transport: protocol error: " + e.What }

// HandshakeError says why a connection did not become a peer.
type HandshakeError struct {
	Peer string // the remote address or endpoint
	Err  error
}

func (e *HandshakeError) Error() string {
	return fmt.Sprintf("transport: handshake with %s: %v", e.Peer, e.Err)
}

// Unwrap returns the cause.
func (e *HandshakeError) Unwrap() error { return e.Err }

// TimeoutError says that a peer was declared dead.
type TimeoutError struct {
	What  string // "nothing heard" or "nothing taken"
	After time.Duration
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("transport: peer is dead: %s for %v", e.What, e.After)
}

// Timeout makes the error a net.Error's kind of timeout.
func (e *TimeoutError) Timeout() bool { return true }

// BindError says why an endpoint could not be bound.
type BindError struct {
	Endpoint string
	Err      error
}

func (e *BindError) Error() string { return fmt.Sprintf("transport: bind %s: %v", e.Endpoint, e.Err) }

// Unwrap returns the cause.
func (e *BindError) Unwrap() error { return e.Err }

// OptionError says what is wrong with a field of Options.
type OptionError struct {
	Field  string
	Reason string
}

func (e *OptionError) Error() string {
	return fmt.Sprintf("transport: option %s: %s", e.Field, e.Reason)
}
