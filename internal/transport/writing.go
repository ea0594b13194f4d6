package transport

import (
	"runtime"

	"github.com/go-zeromq/zmq4"
)

// maxSpare is the largest batch whose memory is kept for the next one.
const maxSpare = 8192

// writing is the writer goroutine's state: it owns the writing half of the
// peer's connection, and the messages it took.
type writing struct {
	peer    *Peer
	spare   []item    // for the queue to fill
	ctl     control   // for the queue to fill
	rest    []item    // taken and not begun
	written []receipt // begun and not known to have reached the kernel, in order
}

// receipt is a message that is being written, and where: its Notifier is told when
// the connection has flushed up to end. If that never comes, and nothing from start
// on has been flushed, the message has not left.
type receipt struct {
	item
	start, end int64
}

// run writes what the queue gives until the connection ends, which a failing
// write brings about. It flushes when the queue has run dry, and yields once
// before: whoever is about to send shares the system call.
func (w *writing) run() {
	err := w.subscribe()
	yielded := false
	for err == nil {
		conn := w.peer.conn
		items, ok := w.peer.out.take(w.spare, &w.ctl, !conn.unflushed())
		w.spare = nil
		switch {
		case !ok:
			err = ErrPeerGone
		case len(items) > 0 || !w.ctl.empty():
			err = w.write(items)
		case !yielded:
			w.spare = items
			yielded = true
			runtime.Gosched()
		default:
			w.spare = items
			yielded = false
			err = conn.Flush()
			w.settle()
		}
	}
	if w.peer.finishing.Load() && w.lastWords() == nil {
		return
	}
	w.peer.Close(err)
	w.finish()
}

// lastWords flushes what was written and ends the writing half of the connection.
// All that was taken has been written then.
func (w *writing) lastWords() error {
	if err := w.peer.conn.Flush(); err != nil {
		return err
	}
	w.settle()
	return w.peer.conn.closeWrite()
}

// subscribe sends a Sub socket's prefixes, before anything else.
func (w *writing) subscribe() error {
	for _, prefix := range w.peer.o.Subscribe {
		m := subscription(prefix)
		if err := w.peer.zmtp.SendMsg(zmq4.NewMsg(m)); err != nil {
			return err
		}
	}
	return nil
}

// write writes control frames, then items, into the connection's buffer.
func (w *writing) write(items []item) error {
	w.rest = items
	if err := w.control(); err != nil {
		return err
	}
	for len(w.rest) > 0 {
		it := w.rest[0]
		w.rest[0] = item{} // for the garbage collector
		w.rest = w.rest[1:]
		start := w.peer.conn.out.written
		err := w.peer.zmtp.SendMsg(zmq4.Msg{Frames: it.m})
		w.written = append(w.written, receipt{it, start, w.peer.conn.out.written})
		if err != nil {
			return err
		}
		if w.written[0].end <= w.peer.conn.out.flushed {
			w.settle()
		}
	}
	if cap(items) <= maxSpare {
		w.spare = items[:0]
	}
	return nil
}

// control writes the PING and PONGs that are due.
func (w *writing) control() error {
	if w.ctl.ping {
		w.ctl.ping = false
		if err := w.peer.zmtp.SendCmd(zmq4.CmdPing, pingBody(w.peer.o.ttl())); err != nil {
			return err
		}
	}
	for i := range w.ctl.pongs {
		p := &w.ctl.pongs[i]
		if err := w.peer.zmtp.SendCmd(zmq4.CmdPong, p.context[:p.length]); err != nil {
			return err
		}
	}
	w.ctl.pongs = w.ctl.pongs[:0]
	return nil
}

// settle reports the messages that have reached the kernel, the queue first:
// a Notifier may send.
func (w *writing) settle() {
	n, bytes := 0, int64(0)
	for n < len(w.written) && w.written[n].end <= w.peer.conn.out.flushed {
		bytes += w.written[n].size
		n++
	}
	w.report(n, bytes, nil)
}

// report settles the first n receipts and tells their Notifiers.
func (w *writing) report(n int, bytes int64, err error) {
	if n == 0 {
		return
	}
	w.peer.out.settle(n, bytes)
	for i := range w.written[:n] {
		if r := &w.written[i]; r.n != nil {
			r.n.Sent(err)
		}
	}
	kept := copy(w.written, w.written[n:])
	clear(w.written[kept:])
	w.written = w.written[:kept]
	if cap(w.written) > maxSpare {
		w.written = append([]receipt(nil), w.written...)
	}
}

// finish accounts for what was taken when the connection has ended: messages of
// which the kernel has nothing go back to the queue, the others may or may not have
// left.
func (w *writing) finish() {
	w.settle()
	begun := len(w.written)
	for begun > 0 && w.written[begun-1].start >= w.peer.conn.out.flushed {
		begun--
	}
	w.peer.out.putBack(w.rest)
	unsent := make([]item, 0, len(w.written)-begun)
	for _, r := range w.written[begun:] {
		unsent = append(unsent, r.item)
	}
	w.peer.out.putBack(unsent)
	w.written = w.written[:begun]
	var bytes int64
	for i := range w.written {
		bytes += w.written[i].size
	}
	w.report(len(w.written), bytes, w.peer.err)
}
