package transport

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/mtls"
	"github.com/butterfly-zmq/butterfly/internal/rawio"
)

// Listener is a bound endpoint that turns connections into peers.
//
// The lifecycle: Listen binds, Run serves, and Close or the end of Run's
// context stops at once, without flushing. Its methods may be called
// concurrently.
type Listener struct {
	o        Options // complete
	endpoint Endpoint
	asked    string // the endpoint before it was bound
	handler  Handler
	socket   net.Listener
	gate     gate
	unended  *budget
	refused  quietLog // connections that did not become peers
	trouble  quietLog // failing accepts

	done    chan struct{} // closed by Close
	dropped atomic.Uint64

	mu      sync.Mutex // guards peers, made, running, closed; held while publishing
	peers   map[*Peer]struct{}
	made    uint64 // peers so far
	running bool
	closed  bool
}

// Listen binds the endpoint. A nil Handler ignores everything. Errors are
// *EndpointError, joined *OptionErrors, and *BindError for what only the system
// can know: port in use, live socket file, certificates that cannot be read.
func Listen(endpoint string, o Options, h Handler) (*Listener, error) {
	e, err := ParseEndpoint(endpoint)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(o.Validate(), o.checkTLS(e)); err != nil {
		return nil, err
	}
	if e.Scheme == secure {
		if err := o.TLS.Load(); err != nil {
			return nil, &BindError{Endpoint: endpoint, Err: err}
		}
	}
	o = o.withDefaults()
	socket, e, err := e.listen(&o)
	if err != nil {
		return nil, err
	}
	if h == nil {
		h = ignore{}
	}
	return &Listener{
		o: o, endpoint: e, asked: endpoint, handler: h, socket: socket,
		gate:    gate{limit: o.MaxHandshakes},
		unended: newBudget(o.MaxUnended),
		refused: quietLog{logger: o.Logger, message: "connection refused", endpoint: e.String()},
		trouble: quietLog{logger: o.Logger, message: "accepting connections fails", endpoint: e.String()},
		done:    make(chan struct{}),
		peers:   make(map[*Peer]struct{}),
	}, nil
}

// Endpoint returns the endpoint with its real address: the port where 0 was
// asked for.
func (l *Listener) Endpoint() string { return l.endpoint.String() }

// Run accepts peers until ctx ends or Close is called, and returns nil when all
// its goroutines have ended and every PeerUp had its PeerDown. A second call
// returns ErrRunning.
func (l *Listener) Run(ctx context.Context) error {
	l.mu.Lock()
	again := l.running
	l.running = true
	l.mu.Unlock()
	if again {
		return ErrRunning
	}
	stop := context.AfterFunc(ctx, l.Close)
	defer stop()
	var conns sync.WaitGroup
	l.accept(&conns)
	<-l.done
	conns.Wait()
	return nil
}

// Refuse takes no more connections and releases the endpoint, for a successor. The
// peers stay until Close, or the end of Run's context.
func (l *Listener) Refuse() { _ = l.socket.Close() }

// Close releases the endpoint and disconnects all peers at once. It does not
// wait: Run does. It may be called more than once, and before Run.
func (l *Listener) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	close(l.done)
	_ = l.socket.Close()
	l.gate.close()
	for p := range l.peers {
		p.Close(ErrClosed)
	}
}

// accept takes connections until the socket is closed. Errors such as a lack of
// descriptors pass: it tries again after a growing pause.
func (l *Listener) accept(conns *sync.WaitGroup) {
	pause := backoff{Backoff: Backoff{Min: 5 * time.Millisecond, Max: time.Second}}
	for {
		conn, err := l.socket.Accept()
		switch {
		case err == nil:
			pause.reset()
			conn = rawio.Wrap(conn)
			if l.o.WrapConn != nil {
				conn = l.o.WrapConn(conn)
			}
			// It enters here, not in its goroutine: age is the order of arrival.
			e := l.gate.enter(conn)
			conns.Go(func() { l.connection(e) })
		case errors.Is(err, net.ErrClosed):
			return
		default:
			l.trouble.warn("", err)
			if !sleep(l.done, pause.next()) {
				return
			}
		}
	}
}

// connection does the handshake and serves the peer.
func (l *Listener) connection(e *entrant) {
	remote := l.remote(e.conn)
	p, err := l.admit(e, remote)
	if err != nil {
		_ = e.conn.Close()
		// What closes in silence is a health check that looked whether the port
		// is open.
		if !errors.Is(err, ErrClosed) && !errors.Is(err, errSilent) && !errors.Is(err, mtls.ErrSilent) {
			l.refused.warn(remote, &HandshakeError{Peer: remote, Err: err})
		}
		return
	}
	p.serve(l.handler)
	l.mu.Lock()
	delete(l.peers, p)
	l.mu.Unlock()
}

// admit does the handshake and makes one of the peers.
func (l *Listener) admit(e *entrant, remote string) (*Peer, error) {
	link, remote, err := l.shake(e, remote)
	if reason := l.gate.leave(e); reason != nil {
		err = reason
	}
	if err != nil {
		return nil, err
	}
	p := newPeer(link, &l.o, remote, newQueue(remote, l.o.Queue, endWithPeer))
	p.conn.held.of, p.conn.held.evict = l.unended, p.Close
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.roomLocked(); err != nil {
		return nil, err
	}
	l.peers[p] = struct{}{}
	l.made++
	return p, nil
}

// shake does the handshake if there is room for a peer. admit looks once more
// behind it; but refused only then, a Dialer would take itself for connected.
// It returns what the peer is called in logs, too.
func (l *Listener) shake(e *entrant, remote string) (*link, string, error) {
	l.mu.Lock()
	err := l.roomLocked()
	l.mu.Unlock()
	if err != nil {
		return nil, remote, err
	}
	conn := e.conn
	if l.endpoint.Scheme == secure {
		ctx, cancel := context.WithTimeout(context.Background(), l.o.HandshakeTimeout)
		defer cancel()
		secured, err := l.o.TLS.Server(ctx, conn, l.asked)
		if err != nil {
			return nil, remote, err
		}
		conn, remote = secured, called(remote, secured)
	}
	link, err := shake(conn, &l.o)
	return link, remote, err
}

// called returns a peer's name in logs, with those of its certificate.
func called(remote string, c *mtls.Conn) string {
	return fmt.Sprintf("%s (%s)", remote, strings.Join(c.Names(), ", "))
}

// roomLocked returns why there is no room for one more peer, or nil.
func (l *Listener) roomLocked() error {
	if l.closed {
		return ErrClosed
	}
	if len(l.peers) >= l.o.MaxPeers {
		return &LimitError{"peers", uint64(len(l.peers) + 1), uint64(l.o.MaxPeers)}
	}
	return nil
}

// remote names the other side of conn.
func (l *Listener) remote(conn net.Conn) string {
	if l.endpoint.overTCP() {
		return conn.RemoteAddr().String()
	}
	return l.endpoint.String()
}

// Publish sends m to every peer that subscribed to a prefix of its first frame.
// It is for Pub sockets. The frames belong to the transport from then on and
// are only read. It does not block: a peer whose queue is full does not get m,
// which Dropped counts.
func (l *Listener) Publish(m Message) {
	if len(m) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.peers {
		if p.subs.match(m[0]) && errors.Is(p.out.put(m, nil), ErrQueueFull) {
			l.dropped.Add(1)
		}
	}
}

// PublishTo sends m to every peer that subscribed to just this prefix, which m's
// first frame has to begin with, and to nobody else: those who subscribed to a
// shorter one, to everything for example, do not get it. In all else it is
// Publish.
func (l *Listener) PublishTo(prefix []byte, m Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.peers {
		if p.subs.has(prefix) && errors.Is(p.out.put(m, nil), ErrQueueFull) {
			l.dropped.Add(1)
		}
	}
}

// Flush blocks until all that was queued for the present peers before the call
// has been handed to the kernel or given up, or ctx ends; then it returns ctx's
// cause.
func (l *Listener) Flush(ctx context.Context) error {
	l.mu.Lock()
	peers := slices.Collect(maps.Keys(l.peers))
	l.mu.Unlock()
	for _, p := range peers {
		if err := p.Flush(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Dropped counts the messages that a subscriber did not get since its queue was
// full, one per message and subscriber.
func (l *Listener) Dropped() uint64 { return l.dropped.Load() }
