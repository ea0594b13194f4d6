package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/rawio"
)

// Dialer connects to an endpoint, and connects again for ever when the
// connection is lost or was not to be had. Its methods may be called
// concurrently.
type Dialer struct {
	o        Options // complete
	endpoint Endpoint
	handler  Handler
	out      *queue
	failed   quietLog
	running  atomic.Bool
	up       atomic.Bool   // there is a peer
	made     atomic.Uint64 // peers so far
}

// NewDialer checks its arguments and acquires nothing. A nil Handler ignores
// everything. Errors are *EndpointError and joined *OptionErrors.
func NewDialer(endpoint string, o Options, h Handler) (*Dialer, error) {
	e, err := ParseEndpoint(endpoint)
	if err != nil {
		return nil, err
	}
	if err := e.checkDial(); err != nil {
		return nil, err
	}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := errors.Join(o.checkDialer(e), o.checkTLS(e)); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	if h == nil {
		h = ignore{}
	}
	after := keepOnLoss
	switch {
	case o.DropOnDisconnect:
		after = dropOnLoss
	case o.GiveBack:
		after = giveBack
	case o.TellWaiting:
		after = keepAndTell
	}
	return &Dialer{
		o: o, endpoint: e, handler: h,
		out:    newQueue(e.String(), o.Queue, after),
		failed: quietLog{logger: o.Logger, message: "connection failed", endpoint: e.String()},
	}, nil
}

// checkDialer checks what only dialing forbids.
func (o *Options) checkDialer(e Endpoint) error {
	if o.Socket == Pub {
		return &OptionError{Field: "Socket", Reason: "a PUB socket publishes to those who connect: use Listen"}
	}
	if e.Scheme == "inproc" && o.Inproc == nil {
		return &OptionError{Field: "Inproc", Reason: errNoInproc.Error()}
	}
	return nil
}

// Run connects, and reconnects after pauses as Backoff says, until ctx ends;
// then it disconnects at once, without flushing, tells the Notifiers of what is
// queued ErrClosed, joins its goroutines and returns nil. Each connection is a
// Peer of its own to the Handler. A second call returns ErrRunning.
func (d *Dialer) Run(ctx context.Context) error {
	if d.running.Swap(true) {
		return ErrRunning
	}
	pause := backoff{Backoff: d.o.Backoff}
	away := time.Now() // since when there is no peer
	for {
		lived, err := d.connection(ctx)
		if lived > d.o.Backoff.Max {
			pause.reset()
		}
		if lived > 0 {
			away = time.Now()
		}
		if ctx.Err() == nil {
			d.report(err, away)
		}
		if !sleep(ctx.Done(), pause.next()) {
			tell(d.out.close(ErrClosed), ErrClosed)
			return nil
		}
	}
}

// awayQuietly is for how long a peer may be away before that is worth a
// warning: processes are started, and started again, in any order.
const awayQuietly = 2 * time.Second

// report logs why there is no connection.
func (d *Dialer) report(err error, away time.Time) {
	var dial *net.OpError
	switch {
	case errors.Is(err, io.EOF):
		d.o.Logger.Debug("connection ended", "endpoint", d.endpoint.String())
	case errors.As(err, &dial) && dial.Op == "dial" && time.Since(away) < awayQuietly:
		d.o.Logger.Debug("nobody there yet", "endpoint", d.endpoint.String(), "err", err)
	default:
		d.failed.warn(d.endpoint.String(), err)
	}
}

// connection connects once and serves the peer; it returns how long there was
// one, and why there is none any more.
func (d *Dialer) connection(ctx context.Context) (lived time.Duration, err error) {
	conn, err := d.dial(ctx)
	if err != nil {
		return 0, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	link, err := shake(conn, &d.o)
	stop()
	if err != nil {
		return 0, &HandshakeError{Peer: d.endpoint.String(), Err: err}
	}
	p := newPeer(link, &d.o, d.endpoint.String(), d.out)
	stop = context.AfterFunc(ctx, func() { p.Close(ErrClosed) })
	defer stop()
	start := time.Now()
	d.made.Add(1)
	d.up.Store(true)
	p.serve(d.handler)
	d.up.Store(false)
	return time.Since(start), p.err
}

// dial opens the connection below ZMTP within HandshakeTimeout.
func (d *Dialer) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.o.HandshakeTimeout)
	defer cancel()
	var conn net.Conn
	var err error
	switch dialer := (&net.Dialer{}); d.endpoint.Scheme {
	case "tcp", secure:
		conn, err = dialer.DialContext(ctx, "tcp", net.JoinHostPort(d.endpoint.hostPort()))
	case "ipc":
		conn, err = dialer.DialContext(ctx, "unix", d.endpoint.Address)
	default:
		conn, err = d.o.Inproc.dial(ctx, d.endpoint.Address)
	}
	if err != nil {
		return nil, err
	}
	conn = rawio.Wrap(conn)
	if d.o.WrapConn != nil {
		conn = d.o.WrapConn(conn)
	}
	if d.endpoint.Scheme == secure {
		return d.secure(ctx, conn)
	}
	return conn, nil
}

// secure does TLS's handshake.
func (d *Dialer) secure(ctx context.Context, conn net.Conn) (net.Conn, error) {
	host, _ := d.endpoint.hostPort()
	secured, err := d.o.TLS.Client(ctx, conn, d.endpoint.String(), host)
	if err != nil {
		return nil, &HandshakeError{Peer: d.endpoint.String(), Err: err}
	}
	return secured, nil
}

// Send queues m, connected or not, and returns at once. As Peer.Send, but the
// queue takes messages before the first connection and between two of them,
// but with Options.GiveBack; when Run has ended it returns ErrClosed.
func (d *Dialer) Send(m Message, n Notifier) error { return send(&d.o, d.out, m, n) }

// Flush blocks until all that was queued before the call has been handed to the
// kernel or given up, or ctx ends; then it returns ctx's cause. It needs Run to
// be running.
func (d *Dialer) Flush(ctx context.Context) error { return d.out.flush(ctx) }
