package proxy

import (
	"fmt"
	"sync/atomic"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// conn is what a worker is sent jobs by: a *transport.Peer.
type conn interface {
	Send(m transport.Message, sent transport.Notifier) error
	Close(err error)
}

// worker is a connection on the downstream socket, with its places. The
// proxy's lock guards it.
type worker struct {
	conn   conn
	prime  *place   // the connection as one slot, if beats of one frame came
	places []*place // by slot number; nil where none is known
	gone   bool     // a send has failed: its beats do not count any more
	asks   bool     // it wants to be told the status, and is not yet
	failed bool     // it gave up a job that it had by an earlier connection, and nobody was told yet
}

// place is one slot of a worker, and the Notifier of what is sent to it.
type place struct {
	worker *worker
	number uint16
	slot   *Slot
	given  uint64        // jobs handed to the transport; the proxy's lock guards it
	sent   atomic.Uint64 // of them, those that reached the kernel: the oldest ones
}

// Sent implements transport.Notifier. It takes no lock, since it may be called
// with any held.
func (p *place) Sent(err error) {
	if err == nil {
		p.sent.Add(1)
	}
}

// unsent is how many of the last jobs have not reached the kernel, as far as
// the transport has told. It tells so of one job before it writes the next.
func (p *place) unsent() uint64 { return p.given - p.sent.Load() }

// beat takes a message: a prime_server worker's beat has one frame, a butterfly
// worker's two. It returns a job that the slot has given up. The caller holds the
// proxy's lock.
func (w *worker) beat(b *Balancer, m transport.Message, maxSlots int) (givenUp *loopback.Job, err error) {
	switch len(m) {
	case 1:
		if w.prime == nil {
			w.prime = w.join(b, Prime, 0)
		}
		// A beat cannot be about a job that has not reached the kernel. One
		// such that is held may be in doubt; to free the slot from two, or from
		// one that is but maybe held, would be to forget it, and to heap up
		// jobs for a worker that does not read.
		if left := w.prime.unsent(); left == 0 || left == 1 && w.prime.slot.held.job != nil {
			b.Idle(w.prime.slot, m[0], wire.Key{})
		}
		return nil, nil
	case 2:
		beat, err := wire.ParseBeat(m[1])
		if err != nil {
			return nil, &MessageError{"beat", err}
		}
		if int(beat.Slot) >= maxSlots {
			return nil, &MessageError{"beat", fmt.Errorf("slot %d, at most %d slots are allowed", beat.Slot, maxSlots)}
		}
		w.asks = w.asks || beat.Tell
		return w.slotBeat(b, m, &beat), nil
	}
	return nil, &MessageError{"beat", fmt.Errorf("%d frames, want 1 or 2", len(m))}
}

// slotBeat makes a butterfly slot idle, joining it to the balancer if it is
// new, or lets it leave, and returns a job that it has given up. The receipt of leaving takes the same way as jobs do,
// and so arrives behind the last of them.
func (w *worker) slotBeat(b *Balancer, m transport.Message, beat *wire.Beat) (givenUp *loopback.Job) {
	for len(w.places) <= int(beat.Slot) {
		w.places = append(w.places, nil)
	}
	at := &w.places[beat.Slot]
	if beat.Begun {
		if *at != nil {
			b.Begun((*at).slot, beat.Done)
		}
		return nil
	}
	switch {
	case !beat.GivenUp:
	case *at == nil:
		w.failed = true
	default:
		givenUp = b.GivenUp((*at).slot, beat.Done)
	}
	switch {
	case !beat.Withdraw:
		if *at == nil {
			*at = w.join(b, Butterfly, beat.Slot)
		}
		b.Idle((*at).slot, m[0], beat.Done)
	case *at == nil || b.Withdraw((*at).slot, beat.Done):
		*at = nil
		_ = w.conn.Send(transport.Message{m[1]}, nil) // if it has gone, it needs none
	}
	return givenUp
}

// stuck reports whether a place has not come back from its job in time.
func (w *worker) stuck() bool {
	found := false
	w.all(func(p *place) { found = found || p.slot.stuck })
	return found
}

func (w *worker) join(b *Balancer, kind Kind, number uint16) *place {
	p := &place{worker: w, number: number}
	p.slot = b.Join(kind, p)
	return p
}

// any reports whether the worker has a place that has not been withdrawn.
func (w *worker) any() bool {
	found := false
	w.all(func(*place) { found = true })
	return found
}

// all calls f for every place.
func (w *worker) all(f func(*place)) {
	if w.prime != nil {
		f(w.prime)
	}
	for _, p := range w.places {
		if p != nil {
			f(p)
		}
	}
}
