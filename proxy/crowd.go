package proxy

import (
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// crowd is the parts of one scattered job at one stage, where only so many may
// be queued or in work at a time. The others are parked, in their order, and
// join the end of the queue as earlier ones leave: so a job of a thousand parts
// takes no more places in the queue than it asked for, and delays others little.
//
//	     room                    assigned              beat, loss
//	new ──────▶ queued ────────────────────▶ in work ─────────────▶ gone
//	 │ none       ▲                             one leaves
//	 └──▶ parked ─┘◀─────────────────────────────────┘
type crowd struct {
	id          groupID
	width       int
	active      int    // parts queued or in work
	first, last *entry // parked
	ready       bool   // in crowds.ready
	twin        *crowd // another group of the same key
}

// crowds are the crowds of a stage. A crowd is there while it has parts.
type crowds struct {
	all      map[wire.Key]*crowd
	ready    []*crowd // there may be room for parked parts of theirs
	parked   int
	bytes    int64
	frames   int   // as the queue's
	earliest int64 // no parked deadline is earlier; 0: there is none
}

// of returns the crowd of a job, or nil if it is in none.
func (c *crowds) of(job *loopback.Job) *crowd {
	if !job.Info.Extended || job.Info.Piece() == nil || job.Info.Piece().Width == 0 {
		return nil
	}
	p := job.Info.Piece()
	id := groupID{job.Info.Key(), p.Group}
	first := c.all[id.key]
	for x := first; x != nil; x = x.twin {
		if x.id == id {
			return x
		}
	}
	if c.all == nil {
		c.all = make(map[wire.Key]*crowd)
	}
	x := &crowd{id: id, width: int(p.Width), twin: first}
	c.all[id.key] = x
	return x
}

// park keeps a part until there is room.
func (c *crowds) park(x *crowd, e *entry) {
	e.prev = x.last
	if x.last == nil {
		x.first = e
	} else {
		x.last.next = e
	}
	x.last = e
	c.parked++
	c.bytes += int64(e.job.Size)
	c.frames += framesOf(e.job)
	if e.deadline != 0 && (c.earliest == 0 || e.deadline < c.earliest) {
		c.earliest = e.deadline
	}
}

// unpark takes the first parked part.
func (c *crowds) unpark(x *crowd) *entry {
	e := x.first
	x.first = e.next
	if x.first == nil {
		x.last = nil
	} else {
		x.first.prev = nil
	}
	e.next = nil
	c.parked--
	c.bytes -= int64(e.job.Size)
	c.frames -= framesOf(e.job)
	return e
}

// leave says that a part is neither queued nor in work any more.
func (c *crowds) leave(x *crowd) {
	if x == nil {
		return
	}
	x.active--
	switch {
	case x.first != nil && !x.ready:
		x.ready = true
		c.ready = append(c.ready, x)
	case x.first == nil && x.active == 0:
		c.remove(x)
	}
}

// remove forgets a crowd that has no parts.
func (c *crowds) remove(x *crowd) {
	first := c.all[x.id.key]
	switch {
	case first == nil:
	case first != x:
		for first.twin != nil && first.twin != x {
			first = first.twin
		}
		if first.twin == x {
			first.twin = x.twin
		}
	case x.twin != nil:
		c.all[x.id.key] = x.twin
	default:
		delete(c.all, x.id.key)
	}
}
