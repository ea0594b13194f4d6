package loopback

import (
	"container/heap"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// Pending is one open request. One goroutine opens, waits for and releases it;
// Abandon may come from any other until Release.
type Pending struct {
	table *Table
	done  chan struct{} // holds one token once the request has ended

	// guarded by table.mu until the token is taken
	info      wire.Info
	deadline  time.Time
	bytes     int64
	heapIndex int
	ended     bool
	answer    Answer
	err       error
	stream    *Stream // set once, with the answer

	// Of a job that may get lost: what was submitted last, and where.
	job     *Job
	to      Losable
	sent    time.Time
	ids     []uint32 // its numbers, the last one last; nil: it was submitted once
	claimed uint32   // the last roll call in which somebody had it
}

// Info returns the request's info frame. The caller may fill in what it knows
// of the request (Version, KeepAlive, Close, Flags, Priority, Client, optional
// fields) before it submits a copy in a Job; the key and deadline are fixed.
func (p *Pending) Info() *wire.Info { return &p.info }

// Wait blocks until the request ends, and returns its answer, or why there is
// none: ErrDeadline, ErrClosed, or what Abandon or Fail was given. Call it once.
func (p *Pending) Wait() (Answer, error) {
	<-p.done
	return p.answer, p.err
}

// Done returns a channel that holds one token once the request has ended, for
// a caller that waits for other things too: after taking it, call Result
// instead of Wait.
func (p *Pending) Done() <-chan struct{} { return p.done }

// Result returns what Wait would; only after the token of Done was taken.
func (p *Pending) Result() (Answer, error) { return p.answer, p.err }

// Stream returns the rest of an answer that comes in parts, of which Wait has
// returned the first; nil of one that came whole. Only after Wait. The request
// is open until the stream ends: a caller that does not read it to its end has
// to Abandon it before Release.
func (p *Pending) Stream() *Stream { return p.stream }

// Abandon ends the request because its client left, with err (usually
// ErrGone), and interrupts its jobs. It does nothing if the request has ended.
func (p *Pending) Abandon(err error) {
	t := p.table
	t.mu.Lock()
	if p.ended {
		t.mu.Unlock()
		return
	}
	key, others := p.key(), p.others()
	t.stats.Abandoned++
	t.end(p, err)
	t.mu.Unlock()
	t.interrupt(key)
	t.interrupt(others...)
}

// Fail ends the request because its job could not be submitted. Nobody is
// interrupted. It does nothing if the request has ended.
func (p *Pending) Fail(err error) {
	t := p.table
	t.mu.Lock()
	defer t.mu.Unlock()
	if !p.ended {
		t.stats.Failed++
		t.end(p, err)
	}
}

// Release gives the Pending back after Wait, and after its stream has ended, if
// it has one. Neither it nor its info frame may
// be used afterwards.
func (p *Pending) Release() {
	p.answer, p.err, p.stream, p.info = Answer{}, nil, nil, wire.Info{}
	p.job, p.to, p.ids, p.claimed = nil, nil, nil, 0
	p.table.pool.Put(p)
}

// deadlineHeap orders requests by deadline. Most have the same timeout, so a
// new one sinks nowhere and the earliest leaves from the top.
type deadlineHeap []*Pending

func (h deadlineHeap) Len() int           { return len(h) }
func (h deadlineHeap) Less(i, j int) bool { return h[i].deadline.Before(h[j].deadline) }
func (h deadlineHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = i, j
}

// Push implements heap.Interface.
func (h *deadlineHeap) Push(x any) {
	p := x.(*Pending)
	p.heapIndex = len(*h)
	*h = append(*h, p)
}

// Pop implements heap.Interface.
func (h *deadlineHeap) Pop() any {
	last := len(*h) - 1
	p := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	p.heapIndex = -1
	return p
}

func (h *deadlineHeap) push(p *Pending)   { heap.Push(h, p) }
func (h *deadlineHeap) remove(p *Pending) { heap.Remove(h, p.heapIndex) }

func (h deadlineHeap) first() *Pending {
	if len(h) == 0 {
		return nil
	}
	return h[0]
}
