package proxy

import "github.com/butterfly-zmq/butterfly/internal/queueing"

// order says which of the jobs that wait is next: among the priority classes in
// proportion to their weights, within a class one job of each client in turn,
// and of one client's the first in. So a client with a thousand jobs in the
// queue delays another's single one by the job that is next, not by all.
//
// It is a value without clock and lock, as the queue of which it is a part.
type order struct {
	weights []int   // by class; a class beyond is the last one
	counts  bool    // rounds are counted, for ahead
	classes []class // by class, as far as there were jobs
	spare   *flow   // singly linked by next
	spares  int
}

// class is the jobs of one priority class.
type class struct {
	clients map[uint32]*flow
	turn    *flow // whose job is next, in a ring of clients that have jobs
	credit  int
	length  int             // jobs
	rounds  queueing.Rounds // only if they are counted
}

// flow is the jobs of one client in one class.
type flow struct {
	client      uint32
	class       int
	length      int
	first, last *entry // by ahead and behind
	prev, next  *flow  // the ring
}

// DefaultWeights returns the weights of the classes where nothing else is said:
// interactive and batch.
func DefaultWeights() []int { return []int{8, 1} }

// classOf returns the class of a job with a priority.
func (o *order) classOf(priority uint8) int { return min(int(priority), len(o.weights)-1) }

// add puts a job behind those of its client; inFront, before them, and its
// client before all others of its class.
func (o *order) add(e *entry, inFront bool) {
	n := o.classOf(e.priority)
	for len(o.classes) <= n {
		o.classes = append(o.classes, class{clients: make(map[uint32]*flow)})
	}
	c := &o.classes[n]
	f := c.clients[e.client]
	if f == nil {
		f = o.newFlow(e.client, n)
		c.clients[e.client] = f
		c.join(f)
	}
	e.flow = f
	c.length++
	f.length++
	if o.counts {
		c.rounds.Add(f.length, 1)
	}
	switch {
	case f.first == nil:
		f.first, f.last = e, e
	case inFront:
		e.behind, f.first.ahead = f.first, e
		f.first = e
	default:
		e.ahead, f.last.behind = f.last, e
		f.last = e
	}
	if inFront {
		c.turn = f
	}
}

// join puts a client at the end of the turn.
func (c *class) join(f *flow) {
	if c.turn == nil {
		c.turn, f.prev, f.next = f, f, f
		return
	}
	f.next, f.prev = c.turn, c.turn.prev
	f.prev.next, f.next.prev = f, f
}

// remove takes a job out. If it was next in its class, its client's turn is over.
func (o *order) remove(e *entry) {
	f := e.flow
	c := &o.classes[f.class]
	if c.turn == f && f.first == e {
		c.turn = f.next
	}
	if e.ahead == nil {
		f.first = e.behind
	} else {
		e.ahead.behind = e.behind
	}
	if e.behind == nil {
		f.last = e.ahead
	} else {
		e.behind.ahead = e.ahead
	}
	e.flow, e.ahead, e.behind = nil, nil, nil
	if o.counts {
		c.rounds.Add(f.length, -1)
	}
	c.length--
	f.length--
	if f.first == nil {
		o.leave(c, f)
	}
}

// leave takes a client without jobs out of its class.
func (o *order) leave(c *class, f *flow) {
	f.prev.next, f.next.prev = f.next, f.prev
	if c.turn == f {
		c.turn = f.next
	}
	if f.next == f {
		c.turn, c.credit = nil, 0 // a class gathers no credit while it is empty
	}
	delete(c.clients, f.client)
	if o.spares < maxSpare {
		*f = flow{next: o.spare}
		o.spare, o.spares = f, o.spares+1
	}
}

func (o *order) newFlow(client uint32, class int) *flow {
	f := o.spare
	if f == nil {
		f = new(flow)
	} else {
		o.spare, o.spares = f.next, o.spares-1
	}
	*f = flow{client: client, class: class}
	return f
}

// next returns the job that is next, nil if there is none, and notes that its
// class had its turn: smooth weighted round robin, in which a class of weight
// 8 beside one of 1 gets eight turns of nine, spread evenly.
func (o *order) next() *entry {
	best, total := -1, 0
	for i := range o.classes {
		c := &o.classes[i]
		if c.turn == nil {
			continue
		}
		c.credit += o.weights[i]
		total += o.weights[i]
		if best < 0 || c.credit > o.classes[best].credit {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	o.classes[best].credit -= total
	return o.classes[best].turn.first
}

// ahead returns how many of the jobs that wait get their turn before one that a
// client would add now, at least. Those of its own class are counted exactly, or
// by one round less; of another class as many as its weight allows meanwhile, less
// those that the class may be ahead by: one cycle of all, since the credits of a
// cycle in which more classes had jobs are still there. An order that does not
// count rounds knows of none.
func (o *order) ahead(client uint32, priority uint8) int {
	n := o.classOf(priority)
	before := 0
	if n < len(o.classes) {
		c := &o.classes[n]
		own := 1 // a client that is new waits until all others had one turn
		if f := c.clients[client]; f != nil {
			own = f.length
		}
		before = c.rounds.UpTo(own)
	}
	all, cycle := before, 0
	for _, w := range o.weights {
		cycle += w
	}
	for i := range o.classes {
		if i != n {
			all += min(o.classes[i].length, max(0, (before*o.weights[i]-cycle)/o.weights[n]))
		}
	}
	return all
}
