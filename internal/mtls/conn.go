package mtls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// Errors of handshakes that callers tell apart.
var (
	// ErrSilent is the end of a connection whose other side never said anything.
	ErrSilent = errors.New("mtls: closed before the handshake")
	// ErrPlain says that the other side does not speak TLS.
	ErrPlain = errors.New("mtls: the peer does not speak TLS: both ends have to be tls+tcp")
)

// RefusedError says that the other side ended the connection by a TLS alert: as
// a rule it does not accept our certificate, and its log says why.
type RefusedError struct{ Err error }

func (e *RefusedError) Error() string {
	return fmt.Sprintf("mtls: the peer refuses us, its log says why: %v", e.Err)
}

// Unwrap returns the cause.
func (e *RefusedError) Unwrap() error { return e.Err }

// Conn is a connection whose handshake is over.
type Conn struct {
	*tls.Conn
	raw   *socket
	names []string
}

// Names are those of the peer's certificate.
func (c *Conn) Names() []string { return c.names }

// Server does the handshake of a connection that was accepted at an endpoint,
// until ctx ends or raw is closed. It takes raw over; on error it has closed it,
// after the other side had a moment to read why.
func (i *Identity) Server(ctx context.Context, raw net.Conn, endpoint string) (*Conn, error) {
	m, err := i.current()
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	s := &socket{Conn: raw}
	c := m.config(i.peers(endpoint), x509.ExtKeyUsageClientAuth)
	c.ClientAuth = tls.RequireAnyClientCert // and c verifies it
	conn, err := s.shake(ctx, tls.Server(s, c))
	switch {
	case err == nil:
		return conn, nil
	case !s.heard.Load() && ctx.Err() == nil:
		err = fmt.Errorf("%w: %w", ErrSilent, err)
	case errors.Is(err, ErrPlain):
		_, _ = raw.Write(plainAlert)
	}
	s.linger(ctx)
	return nil, err
}

// Client does the handshake of a connection that was dialed to an endpoint,
// until ctx ends or raw is closed. host is told to the other side. It takes raw
// over; on error it has closed it.
//
// The other side's verdict on our certificate comes with the first Read.
func (i *Identity) Client(ctx context.Context, raw net.Conn, endpoint, host string) (*Conn, error) {
	m, err := i.current()
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	s := &socket{Conn: raw}
	c := m.config(i.peers(endpoint), x509.ExtKeyUsageServerAuth)
	c.ServerName = host
	c.InsecureSkipVerify = true // c verifies all but the host, for which the names stand
	conn, err := s.shake(ctx, tls.Client(s, c))
	if err != nil {
		s.linger(ctx)
		return nil, err
	}
	return conn, nil
}

// config is what both sides have in common. The other side's certificate has to
// be of our authorities, for usage, and for one of peers.
func (m *material) config(peers []string, usage x509.ExtKeyUsage) *tls.Config {
	return &tls.Config{
		MinVersion:                  tls.VersionTLS13,
		Certificates:                []tls.Certificate{m.own},
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			leaf := state.PeerCertificates[0] // there is one: both sides ask for it
			o := x509.VerifyOptions{Roots: m.authorities, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{usage}}
			for _, c := range state.PeerCertificates[1:] {
				o.Intermediates.AddCert(c)
			}
			if _, err := leaf.Verify(o); err != nil {
				return fmt.Errorf("mtls: the peer's certificate for %q: %w", namesOf(leaf), err)
			}
			return checkNames(leaf, peers)
		},
	}
}

// plainAlert is a TLS alert (protocol version) as it stands on the wire: by its
// first byte a peer that speaks no TLS can tell what it met.
var plainAlert = []byte{21, 3, 1, 0, 2, 2, 70}

// shake does the handshake.
func (s *socket) shake(ctx context.Context, c *tls.Conn) (*Conn, error) {
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, explain(err)
	}
	return &Conn{Conn: c, raw: s, names: namesOf(c.ConnectionState().PeerCertificates[0])}, nil
}

// explain makes clear errors of those that TLS has words of its own for.
func explain(err error) error {
	if _, plain := errors.AsType[tls.RecordHeaderError](err); plain {
		return ErrPlain
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return &RefusedError{op.Err}
	}
	return err
}

// Read reads what the peer sent.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil && err != io.EOF {
		err = explain(err)
	}
	return n, err
}

// farewell is how long a closing connection may take to say so: only a peer that
// reads nothing makes it wait at all.
const farewell = 10 * time.Millisecond

// Close tells the peer that the end is meant, if that can be done at once, and
// closes the connection. It may be called while others read and write.
func (c *Conn) Close() error {
	c.raw.closing.Store(true)
	_ = c.raw.Conn.SetWriteDeadline(time.Now().Add(farewell)) // for a write that holds TLS's lock
	return c.Conn.Close()
}

// socket is the connection below TLS.
type socket struct {
	net.Conn
	heard   atomic.Bool // something was read
	closing atomic.Bool
}

// Read implements net.Conn.
func (s *socket) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if n > 0 && !s.heard.Load() {
		s.heard.Store(true)
	}
	return n, err
}

// SetWriteDeadline implements net.Conn. TLS sets one for its last words; who
// closes does not wait so long.
func (s *socket) SetWriteDeadline(t time.Time) error {
	if last := time.Now().Add(farewell); s.closing.Load() && t.After(last) {
		t = last
	}
	return s.Conn.SetWriteDeadline(t)
}

// What a refused peer gets to read why: a reset, which closing with unread bytes
// would bring about, takes the alert away.
const (
	lingerTime  = time.Second
	lingerBytes = 64 << 10
)

// linger closes the connection after what the other side still sends, or when ctx
// ends.
func (s *socket) linger(ctx context.Context) {
	defer func() { _ = s.Conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = s.Conn.Close() })()
	half, ok := s.Conn.(interface{ CloseWrite() error })
	if !ok || !s.heard.Load() || half.CloseWrite() != nil {
		return
	}
	_ = s.Conn.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, s.Conn, lingerBytes)
}
