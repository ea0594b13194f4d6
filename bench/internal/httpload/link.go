package httpload

import (
	"context"
	"net"
	"time"
)

// dial opens a connection to address within the timeout. Closing it is the
// caller's; it is closed also when ctx ends, which frees a blocked reader.
func dial(ctx context.Context, address string, timeout time.Duration) (*link, error) {
	dialer := net.Dialer{Timeout: timeout}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	l, err := newLink(conn)
	if err != nil {
		_ = conn.Close() // the first error says more
		return nil, err
	}
	l.timeout = timeout
	l.unwatch = context.AfterFunc(ctx, func() { _ = conn.Close() })
	return l, nil
}

// guard is the part of a link that is the same everywhere: how it ends.
type guard struct {
	net.Conn
	timeout  time.Duration
	deadline time.Time
	unwatch  func() bool
}

// Close closes the connection and forgets the context.
func (g *guard) Close() error {
	g.unwatch()
	return g.Conn.Close()
}

// extend gives the request that begins at now at least its timeout. Moving a
// deadline costs as much as parsing an answer, so it is set a quarter too late
// and then left alone while it is far enough off.
func (g *guard) extend(now time.Time) error {
	if g.deadline.Sub(now) >= g.timeout {
		return nil
	}
	g.deadline = now.Add(g.timeout + g.timeout/4)
	return g.SetDeadline(g.deadline)
}
