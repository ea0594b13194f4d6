package transport

import (
	"context"
	"sync"
	"sync/atomic"
)

// Peer is one connection whose handshake is over. Its methods may be called
// concurrently; none blocks, except Flush.
type Peer struct {
	link
	o      *Options // complete, shared, never changed
	remote string
	out    *queue // a Dialer's, or the peer's own

	subs       subscriptions // of a Pub socket's peer
	delivering atomic.Bool   // the reader is in the Handler, so it hears nothing

	gone      atomic.Bool
	finishing atomic.Bool // Finish was called
	end       sync.Once
	err       error // why the connection ended; set within end
}

// newPeer attaches out, which no other connection uses meanwhile.
func newPeer(l *link, o *Options, remote string, out *queue) *Peer {
	out.attach()
	return &Peer{link: *l, o: o, remote: remote, out: out}
}

// Send queues m and returns at once. n, which may be nil, is told when m has
// been handed to the kernel, or why it never will be. From a nil return on the
// frames belong to the transport and are only read: they may be shared between
// messages. On error the caller keeps m, and n is not told: *QueueFullError,
// *LimitError for what a peer with the same Limits would not take, ErrPeerGone,
// ErrNotSender, ErrNoFrames.
//
// A Dialer's peer shares the Dialer's queue: m may leave over a later
// connection.
func (p *Peer) Send(m Message, n Notifier) error {
	if p.gone.Load() {
		return ErrPeerGone
	}
	if p.o.Socket == Pub {
		return ErrNotSender
	}
	return send(p.o, p.out, m, n)
}

// Publish sends m to this peer of a Pub socket alone, if it subscribed to just
// this prefix, with which m's first frame has to begin. In all else it is
// Listener.Publish.
func (p *Peer) Publish(prefix []byte, m Message) {
	if p.subs.has(prefix) {
		_ = p.out.put(m, nil) // a peer that does not read misses some
	}
}

// send checks m and queues it.
func send(o *Options, out *queue, m Message, n Notifier) error {
	switch {
	case !o.Socket.sends():
		return ErrNotSender
	case len(m) == 0:
		return ErrNoFrames
	}
	if err := o.Limits.check(m); err != nil {
		return err
	}
	return out.put(m, n)
}

// Flush blocks until all that was queued before the call has been handed to the
// kernel or given up, or ctx ends; then it returns ctx's cause.
func (p *Peer) Flush(ctx context.Context) error { return p.out.flush(ctx) }

// Instance returns what the peer announced in X-Butterfly, 0 if nothing.
func (p *Peer) Instance() uint64 { return p.peer.instance }

// Remote names the peer for logs: its address, or the endpoint dialed. It is
// not unique over ipc and inproc.
func (p *Peer) Remote() string { return p.remote }

// Close ends the connection at once; what is queued is not flushed. err becomes
// PeerDown's, nil stands for ErrClosed. Only the first call counts.
func (p *Peer) Close(err error) {
	if err == nil {
		err = ErrClosed
	}
	p.end.Do(func() {
		p.err = err
		p.gone.Store(true)
		p.out.detach()
		_ = p.conn.Close()
	})
}

// Finish sends no message whose writing has not begun, and then ends the writing
// half of the connection: so the other side, which goes on until it has read all
// there was, misses nothing. Messages are still received. A Dialer's queue keeps
// the rest for its next connection.
func (p *Peer) Finish() {
	p.finishing.Store(true)
	p.out.detach()
}

// serve reports the peer to h, and moves its messages until the connection ends.
// It joins the writer.
func (p *Peer) serve(h Handler) {
	p.conn.startTraffic(p.out.pong)
	h.PeerUp(p)
	var writer sync.WaitGroup
	writer.Go(func() { (&writing{peer: p}).run() })
	dog := startWatchdog(p)
	p.Close(read(p, h))
	p.conn.held.release()
	dog.stop()
	writer.Wait()
	tell(p.out.lost(p.err))
	h.PeerDown(p, p.err)
}

// tell tells the Notifiers of items, outside all locks.
func tell(items []item, err error) {
	for i := range items {
		items[i].tell(err)
	}
}
