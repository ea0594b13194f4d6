package transport

// maxBatch bounds the messages that are handed over at once.
const maxBatch = 512

// reading is the reader goroutine's state: it owns the reading half of the
// peer's connection and the batch.
type reading struct {
	peer    *Peer
	handler Handler
	batch   []Message
}

// read hands the peer's messages to h until the connection ends, and returns
// why. What had arrived whole before is handed over first.
func read(p *Peer, h Handler) error {
	r := &reading{peer: p, handler: h}
	p.conn.idle = r.deliver
	for {
		msg, err := p.zmtp.RecvMsg()
		if err != nil {
			r.deliver()
			return p.conn.cause(err)
		}
		if err := r.take(msg.Frames); err != nil {
			return err
		}
	}
}

// take adds a message to the batch, if this socket receives any.
func (r *reading) take(m Message) error {
	switch {
	case r.peer.o.Socket == Pub:
		added, err := r.peer.subs.update(m)
		if h, ok := r.handler.(SubscriptionHandler); added && ok {
			h.Subscribed(r.peer, m[0][1:])
		}
		return err
	case !r.peer.o.Socket.receives():
		return nil // libzmq's sockets ignore what comes the wrong way as well
	}
	r.batch = append(r.batch, m)
	if len(r.batch) == maxBatch {
		r.deliver()
	}
	return nil
}

// deliver hands the batch over. framedConn calls it before it would block. While
// the Handler keeps the reader from reading, the peer is not to be taken for
// silent.
func (r *reading) deliver() {
	if len(r.batch) == 0 {
		return
	}
	r.peer.delivering.Store(true)
	r.handler.Receive(r.peer, r.batch)
	r.peer.conn.heard.Store(true)
	r.peer.delivering.Store(false)
	clear(r.batch)
	r.batch = r.batch[:0]
}
