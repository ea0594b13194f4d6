package transport

import (
	"slices"
	"sync"
)

// maxPongs bounds the answers that wait for the writer; of a peer that sends
// PINGs without reading the oldest are forgotten.
const maxPongs = 4

// item is a message on its way out.
type item struct {
	m    Message
	n    Notifier // may be nil
	size int64
}

// tell tells the item's Notifier.
func (i *item) tell(err error) {
	if i.n != nil {
		i.n.Sent(err)
	}
}

// control is what a connection's writer has to send beside messages.
type control struct {
	ping  bool
	pongs []pong // at most maxPongs
}

func (c *control) empty() bool { return !c.ping && len(c.pongs) == 0 }

// queue holds what waits for one writer: bounded in messages and bytes, from
// being accepted until handed to the kernel. A Dialer's queue outlives its
// connections; attach and cut mark where each begins and ends.
//
// It calls no Notifier: methods return the items whose Notifiers the caller
// has to tell.
type queue struct {
	peer   string // for errors
	limits QueueLimits
	after  afterwards

	mu   sync.Mutex // guards all below
	wake sync.Cond  // the writer waits here

	items    []item // not yet taken by the writer
	count    int    // accepted and not settled
	bytes    int64
	accepted uint64 // running numbers, for flushers
	settled  uint64
	flushers []flusher

	control control // of the connection attached
	waiting bool    // the writer waits on wake
	cut     bool    // no connection is attached
	closed  error   // not nil: nothing is accepted any more
}

// afterwards says what becomes of a queue when its connection is lost.
type afterwards int

const (
	endWithPeer afterwards = iota // a Listener's peers: it ends too
	dropOnLoss                    // a Dialer's: it is emptied
	keepOnLoss                    // a Dialer's: it waits for the next connection
	keepAndTell                   // so, and Notifiers are told ErrWaiting
	giveBack                      // a Dialer's: nothing waits, Notifiers are told ErrUnsent
)

func newQueue(peer string, limits QueueLimits, after afterwards) *queue {
	q := &queue{peer: peer, limits: limits, after: after, cut: true}
	q.wake.L = &q.mu
	return q
}

// put accepts m or says why not; then the caller keeps it. Where nothing
// is connected n may be told ErrWaiting at once.
func (q *queue) put(m Message, n Notifier) error {
	waits, err := q.accept(m, n)
	if waits && n != nil {
		n.Sent(ErrWaiting)
	}
	return err
}

// accept is put without the telling; waits says that there is no connection.
func (q *queue) accept(m Message, n Notifier) (waits bool, err error) {
	size := m.size()
	q.mu.Lock()
	if q.closed != nil {
		q.mu.Unlock()
		return false, q.closed
	}
	if q.cut && q.after == giveBack {
		q.mu.Unlock()
		return false, ErrPeerGone
	}
	if q.count > 0 && (q.count >= q.limits.Count || q.bytes+size > q.limits.Bytes) {
		err := &QueueFullError{Peer: q.peer, Count: q.count, Bytes: q.bytes}
		q.mu.Unlock()
		return false, err
	}
	if waits = q.cut && q.after == keepAndTell; waits {
		n = nil
	}
	q.items = append(q.items, item{m, n, size})
	q.count++
	q.bytes += size
	q.accepted++
	q.unlockAndWake()
	return waits, nil
}

// ping asks the writer for a PING. One that still waits is enough.
func (q *queue) ping() {
	q.mu.Lock()
	q.control.ping = true
	q.unlockAndWake()
}

// pong asks the writer to answer a PING.
func (q *queue) pong(p pong) {
	q.mu.Lock()
	if len(q.control.pongs) == maxPongs {
		q.control.pongs = slices.Delete(q.control.pongs, 0, 1)
	}
	q.control.pongs = append(q.control.pongs, p)
	q.unlockAndWake()
}

// unlockAndWake unlocks and wakes the writer if it waits.
func (q *queue) unlockAndWake() {
	wake := q.waiting
	q.waiting = false
	q.mu.Unlock()
	if wake {
		q.wake.Signal()
	}
}

// attach begins a connection.
func (q *queue) attach() {
	q.mu.Lock()
	q.cut = false
	q.control = control{pongs: q.control.pongs[:0]}
	q.mu.Unlock()
}

// detach ends a connection: the writer's next take fails.
func (q *queue) detach() {
	q.mu.Lock()
	q.cut = true
	q.unlockAndWake()
}

// take gives the writer all that is queued, and whatever control frames are
// due. It swaps slices: spare, which the writer has done with, becomes the
// queue's. With wait it blocks until there is something. It returns false when
// the connection has been detached.
func (q *queue) take(spare []item, ctl *control, wait bool) ([]item, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for wait && !q.cut && len(q.items) == 0 && q.control.empty() {
		q.waiting = true
		q.wake.Wait()
	}
	if q.cut {
		return spare[:0], false
	}
	ctl.ping, q.control.ping = q.control.ping, false
	ctl.pongs, q.control.pongs = q.control.pongs, ctl.pongs[:0]
	items := q.items
	q.items = spare[:0]
	return items, true
}

// putBack returns items that were taken and not begun to the queue's head.
func (q *queue) putBack(items []item) {
	q.mu.Lock()
	q.items = slices.Insert(q.items, 0, items...)
	q.mu.Unlock()
}

// settle ends the account of n messages: they were sent, or never will be.
func (q *queue) settle(n int, bytes int64) {
	q.mu.Lock()
	q.settleLocked(n, bytes)
	q.mu.Unlock()
}

func (q *queue) settleLocked(n int, bytes int64) {
	q.count -= n
	q.bytes -= bytes
	q.settled += uint64(n)
	q.flushers = slices.DeleteFunc(q.flushers, func(f flusher) bool {
		if f.until > q.settled {
			return false
		}
		close(f.done)
		return true
	})
}

// lost ends what the connection's end, for reason err, ends. It returns the
// items to tell, and what: those that are kept are waiting from now on.
func (q *queue) lost(err error) ([]item, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch q.after {
	case keepOnLoss:
		return nil, nil
	case keepAndTell:
		var waiting []item
		for i := range q.items {
			if it := &q.items[i]; it.n != nil {
				waiting = append(waiting, item{n: it.n})
				it.n = nil
			}
		}
		return waiting, ErrWaiting
	case endWithPeer:
		q.closed = ErrPeerGone
	case giveBack:
		err = ErrUnsent
	}
	return q.drainLocked(), err
}

// drainLocked empties the queue and settles what was in it.
func (q *queue) drainLocked() []item {
	items := q.items
	q.items = nil
	var bytes int64
	for i := range items {
		bytes += items[i].size
	}
	q.settleLocked(len(items), bytes)
	return items
}

// close drains the queue and refuses everything from now on with err.
func (q *queue) close(err error) []item {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed == nil {
		q.closed = err
	}
	return q.drainLocked()
}
