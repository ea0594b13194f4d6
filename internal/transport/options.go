package transport

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/mtls"
)

// Limits bound what a peer may send. They are enforced on frame headers, before
// memory is allocated; a peer that exceeds one is disconnected with a
// *LimitError. Zero fields take the defaults.
type Limits struct {
	MaxFrame   int64 // bytes of one frame; default 64 MiB
	MaxMessage int64 // bytes of all frames of a message; default MaxFrame or 64 MiB, whichever is more
	MaxFrames  int   // frames of a message; default 1024
}

// check says what of m a peer with the same limits would not take.
func (l *Limits) check(m Message) error {
	var total int64
	for _, f := range m {
		if n := int64(len(f)); n > l.MaxFrame {
			return &LimitError{What: "frame bytes", Value: uint64(n), Max: uint64(l.MaxFrame)}
		}
		total += int64(len(f))
	}
	switch {
	case total > l.MaxMessage:
		return &LimitError{What: "message bytes", Value: uint64(total), Max: uint64(l.MaxMessage)}
	case len(m) > l.MaxFrames:
		return &LimitError{What: "message frames", Value: uint64(len(m)), Max: uint64(l.MaxFrames)}
	}
	return nil
}

// QueueLimits bound what is accepted for a peer and has not reached the kernel.
// A single message above Bytes is taken when nothing else is queued. Zero
// fields take the defaults.
type QueueLimits struct {
	Count int   // messages; default 65536
	Bytes int64 // frames' bytes and headers; default 64 MiB
}

// Backoff bounds the pause before a Dialer connects again. It doubles from Min
// to Max and is jittered by up to a half; it starts again from Min after a
// connection that lived longer than Max. Zero fields take the defaults.
type Backoff struct {
	Min time.Duration // default 50 ms
	Max time.Duration // default 500 ms: fronts that have started wait for holders of their jobs
}

// Options say how a Listener or Dialer behaves. The value is copied; zero
// fields other than Socket take the defaults.
type Options struct {
	// Socket is what this side is to its peers. Required.
	Socket SocketType
	// Instance is announced to peers in READY as X-Butterfly, eight bytes,
	// little-endian; 0 announces nothing.
	Instance uint64
	// Limits bound what peers may send.
	Limits Limits
	// Queue bounds what waits for a peer.
	Queue QueueLimits
	// Heartbeat is the interval of PINGs, default 2 s. Negative: none are
	// sent and a silent peer is not noticed; PINGs of peers are answered.
	Heartbeat time.Duration
	// PeerTimeout is how long a peer may be silent; default three Heartbeats.
	// It is noticed up to a Heartbeat later.
	// It is also the TTL in our PINGs. Shorter finds dead hosts sooner and
	// mistakes busy ones for dead.
	PeerTimeout time.Duration
	// WriteTimeout is how long a peer may take nothing while something waits
	// for it; default 10 s. It is noticed up to half of it later.
	WriteTimeout time.Duration
	// HandshakeTimeout bounds connecting, and greeting and handshake; default
	// 5 s each.
	HandshakeTimeout time.Duration
	// MaxHandshakes bounds a Listener's handshakes under way; default 128. One
	// more evicts the oldest.
	MaxHandshakes int
	// MaxPeers bounds a Listener's peers; default 4096. Further connections
	// are closed.
	MaxPeers int
	// MaxUnended bounds the bytes of messages that a Listener's peers have begun
	// and not ended, all together; default four times Limits.MaxMessage. Beyond
	// it readers wait for one another, and a message that comes no further
	// meanwhile costs its peer the connection. One message more may be held.
	MaxUnended int64
	// Backoff is a Dialer's.
	Backoff Backoff
	// DropOnDisconnect empties a Dialer's queue when a connection is lost.
	DropOnDisconnect bool
	// TellWaiting has a Dialer that keeps its queue tell a message's Notifier
	// ErrWaiting, instead of its later fate, once the message has to wait for
	// a connection. For senders who cannot wait as long as that may take.
	TellWaiting bool
	// GiveBack has a Dialer take messages only while it is connected (ErrPeerGone),
	// and give back those whose writing has not begun when the connection is lost:
	// their Notifiers are told ErrUnsent. For senders who have another way.
	GiveBack bool
	// Resolver looks up host names for Names; nil: net.DefaultResolver. With
	// Unfollowed a name is one endpoint, however many addresses it has.
	Resolver   Resolver
	Unfollowed bool
	// Subscribe are a Sub socket's prefixes; an empty one subscribes to
	// everything. A Sub socket needs at least one.
	Subscribe [][]byte
	// Inproc is the namespace of inproc endpoints, which need one.
	Inproc *Inproc
	// TLS is who this side is to peers at tls+tcp endpoints, which need it, and
	// knows who may be there.
	TLS *mtls.Identity
	// WrapConn, if set, wraps every connection below ZMTP: for tests that
	// inject faults. A Close of the result must end its Reads and Writes.
	WrapConn func(net.Conn) net.Conn
	// Logger is told of refused peers and failed connections, at a bounded
	// rate. Nil: nothing is logged.
	Logger *slog.Logger
}

// Validate returns an error that joins an *OptionError per problem, or nil.
func (o Options) Validate() error {
	o = o.withDefaults()
	var errs []error
	check := func(ok bool, field, reason string) {
		if !ok {
			errs = append(errs, &OptionError{Field: field, Reason: reason})
		}
	}
	check(o.Socket.valid(), "Socket", fmt.Sprintf("unknown type %q", string(o.Socket)))
	check(o.Limits.MaxFrame > 0, "Limits.MaxFrame", "must be positive")
	check(o.Limits.MaxMessage >= o.Limits.MaxFrame, "Limits.MaxMessage", "must not be below MaxFrame")
	check(o.Limits.MaxFrames > 0, "Limits.MaxFrames", "must be positive")
	check(o.Queue.Count > 0, "Queue.Count", "must be positive")
	check(o.Queue.Bytes > 0, "Queue.Bytes", "must be positive")
	check(o.PeerTimeout > o.Heartbeat, "PeerTimeout", "must be longer than Heartbeat")
	check(o.WriteTimeout > 0, "WriteTimeout", "must be positive")
	check(o.HandshakeTimeout > 0, "HandshakeTimeout", "must be positive")
	check(o.MaxHandshakes > 0, "MaxHandshakes", "must be positive")
	check(o.MaxPeers > 0, "MaxPeers", "must be positive")
	check(o.MaxUnended > 0, "MaxUnended", "must be positive")
	check(o.Backoff.Min > 0, "Backoff.Min", "must be positive")
	check(o.Backoff.Max >= o.Backoff.Min, "Backoff.Max", "must not be below Min")
	check(o.Socket != Sub || len(o.Subscribe) > 0, "Subscribe", "a SUB socket needs a prefix, an empty one for everything")
	check(o.Socket == Sub || len(o.Subscribe) == 0, "Subscribe", "is for SUB sockets")
	check(len(o.Subscribe) <= maxSubscriptions, "Subscribe", fmt.Sprintf("more than %d prefixes", maxSubscriptions))
	for _, s := range o.Subscribe {
		check(len(s) <= maxPrefix, "Subscribe", fmt.Sprintf("prefix longer than %d bytes", maxPrefix))
	}
	return errors.Join(errs...)
}

// checkTLS says what an endpoint is without that needs it.
func (o *Options) checkTLS(e Endpoint) error {
	if e.Scheme != secure {
		return nil
	}
	if err := o.TLS.Knows(e.String()); err != nil {
		return &OptionError{Field: "TLS", Reason: err.Error()}
	}
	return nil
}

// CheckListen says what is wrong with an endpoint to bind, as far as that can be
// told without binding it. Errors are *EndpointError and *OptionError.
func (o Options) CheckListen(endpoint string) error {
	e, err := ParseEndpoint(endpoint)
	if err != nil {
		return err
	}
	return o.checkTLS(e)
}

// withDefaults returns o with its zero fields filled in.
func (o Options) withDefaults() Options {
	o.Limits = o.Limits.WithDefaults()
	o.Queue = o.Queue.WithDefaults()
	fill(&o.Heartbeat, 2*time.Second)
	fill(&o.PeerTimeout, max(3*o.Heartbeat, time.Millisecond))
	fill(&o.WriteTimeout, 10*time.Second)
	fill(&o.HandshakeTimeout, 5*time.Second)
	fill(&o.MaxHandshakes, 128)
	fill(&o.MaxPeers, 4096)
	fill(&o.MaxUnended, 4*o.Limits.MaxMessage)
	fill(&o.Backoff.Min, 50*time.Millisecond)
	fill(&o.Backoff.Max, max(500*time.Millisecond, o.Backoff.Min))
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// WithDefaults returns q with its zero fields filled in.
func (q QueueLimits) WithDefaults() QueueLimits {
	fill(&q.Count, 65536)
	fill(&q.Bytes, 64<<20)
	return q
}

// WithDefaults returns the limits with their defaults in place of zeros.
func (l Limits) WithDefaults() Limits {
	fill(&l.MaxFrame, 64<<20)
	fill(&l.MaxMessage, max(l.MaxFrame, 64<<20))
	fill(&l.MaxFrames, 1024)
	return l
}

// fill sets a zero field to its default.
func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// inbound are the limits of what peers send: to a socket that receives nothing
// but subscriptions that is little.
func (o *Options) inbound() Limits {
	l := o.Limits
	if !o.Socket.receives() {
		l.MaxFrame = min(l.MaxFrame, 1+maxPrefix)
		l.MaxMessage = min(l.MaxMessage, accounted)
	}
	return l
}

// beats reports whether heartbeats are switched on.
func (o *Options) beats() bool { return o.Heartbeat > 0 }

// ttl is PeerTimeout as PING carries it, in tenths of a second.
func (o *Options) ttl() uint16 {
	tenths := (o.PeerTimeout + 100*time.Millisecond - 1) / (100 * time.Millisecond)
	return uint16(min(tenths, math.MaxUint16))
}
