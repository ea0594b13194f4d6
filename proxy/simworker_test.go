package proxy

import (
	"bytes"
	"slices"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// simProcess is a worker process, and those that take its place.
type simProcess struct {
	world *world
	name  string
	prime bool
	knows bool // it has the stage's timeout, too
	slots int
	life  int // which process it is
	dead  bool
	conn  *simConn // nil: it has none
	doing []*execution
	idle  []time.Time
	done  []wire.Key
	inbox []transport.Message // of a prime_server worker: what its socket holds
}

// execution is a job in a slot.
type execution struct {
	info  wire.Info
	hangs bool // for ever
}

// String names the process in a trace.
func (p *simProcess) String() string { return p.name }

// start begins a life.
func (p *simProcess) start() {
	p.life++
	p.dead = false
	p.doing, p.idle = make([]*execution, p.slots), make([]time.Time, p.slots)
	p.done, p.inbox = make([]wire.Key, p.slots), nil
	p.world.note("worker %s of life %d, prime %t, %d slots", p, p.life, p.prime, p.slots)
	p.connect()
}

// in runs f later unless the process has died.
func (p *simProcess) in(d time.Duration, f func()) {
	life := p.life
	p.world.after(d, func() {
		if p.life == life && !p.dead {
			f()
		}
	})
}

// connect opens a connection and says which slots are idle.
func (p *simProcess) connect() {
	p.inbox = nil
	p.conn = newSimConn(p)
	for slot := range p.doing {
		if p.doing[slot] == nil {
			p.beat(slot, false)
		}
	}
}

// beat says that a slot is idle. prime_server's workers repeat it once a second.
func (p *simProcess) beat(slot int, givenUp bool) {
	if p.conn == nil {
		return
	}
	if p.prime {
		p.conn.up(transport.Message{nil})
		began := p.world.now
		p.idle[0] = began
		p.in(time.Second, func() {
			if p.doing[0] == nil && p.idle[0].Equal(began) {
				p.beat(0, false)
			}
		})
		return
	}
	b := wire.Beat{Slot: uint16(slot), Worker: 7, Done: p.done[slot], GivenUp: givenUp}
	p.conn.up(transport.Message{nil, b.AppendTo(nil)})
}

// take gets a job.
func (p *simProcess) take(m transport.Message) {
	if p.prime && p.doing[0] != nil {
		p.inbox = append(p.inbox, m)
		return
	}
	info, err := wire.ParseInfo(m[0])
	if err != nil || !bytes.Equal(m[1], []byte("payload")) {
		p.world.fail("a worker got what is no job: %v", err)
		return
	}
	slot := 0
	if !p.prime {
		slot = int(info.Slot)
	}
	if p.doing[slot] != nil {
		p.world.fail("slot %d of worker %s got a second job, %d", slot, p, info.ID)
		return
	}
	p.begin(slot, &execution{info: info})
}

// begin does a job, in its own time.
func (p *simProcess) begin(slot int, e *execution) {
	w := p.world
	w.started(&e.info)
	p.doing[slot] = e
	w.note("worker %s.%d begins %d.%d, attempt %d", p, slot, e.info.ID, e.info.Hops, e.info.Attempt)
	took := w.upTo(50)
	switch {
	case w.chance(2):
		e.hangs = true
	case w.chance(8):
		took = w.upTo(3000)
	}
	if limit := w.rules.Timeout; limit > 0 && p.knows && !p.prime && (e.hangs || took >= limit) {
		e.hangs = false
		p.in(limit, func() { p.end(slot, e, true) })
		return
	}
	if !e.hangs {
		p.in(took, func() { p.end(slot, e, false) })
	}
}

// end ends a job: its outcome leaves, then the beat.
func (p *simProcess) end(slot int, e *execution, givenUp bool) {
	w := p.world
	p.doing[slot], p.done[slot] = nil, e.info.Key()
	r := w.requests[e.info.Key()]
	w.note("worker %s.%d ends %d.%d, given up %t", p, slot, e.info.ID, e.info.Hops, givenUp)
	switch {
	case givenUp:
		w.happened.givenUp++
	case e.info.Hops < 4 && w.chance(15):
		w.happened.forwarded++
		r.forwards[e.info.Hops+1]++
		w.submit(r, &e.info)
	default:
		w.answer(e.info.Key(), "an answer")
	}
	p.beat(slot, givenUp)
	if p.prime && len(p.inbox) > 0 {
		next := p.inbox[0]
		p.inbox = p.inbox[1:]
		p.take(next)
	}
}

// trouble is what happens to processes.
func (p *simProcess) trouble() {
	w := p.world
	if p.dead || p.conn == nil {
		return
	}
	switch w.rand.IntN(3) {
	case 0:
		p.die()
		w.after(w.upTo(500), p.start)
	case 1:
		w.happened.cut++
		w.note("worker %s is cut off", p)
		p.conn.cut(w.upTo(300))
	case 2:
		w.note("worker %s takes nothing", p)
		p.conn.blocked = w.now.Add(w.upTo(2000))
	}
}

// die ends the process.
func (p *simProcess) die() {
	if p.dead {
		return
	}
	p.world.happened.died++
	p.world.note("worker %s dies", p)
	if p.conn != nil {
		p.conn.cut(p.world.upTo(20))
	}
	p.dead = true
	p.doing, p.inbox = nil, nil
}

// simConn is a connection of a worker's, as the proxy has it and as it is.
type simConn struct {
	world   *world
	process *simProcess
	worker  *worker
	gone    bool      // nothing arrives any more
	closed  bool      // the proxy knows
	blocked time.Time // until then nothing reaches the kernel
	queue   []*simMessage
	wire    []transport.Message // behind the kernel, before the worker
	last    time.Time           // when the last message arrives at the worker
	lastUp  time.Time           // and the last beat at the proxy
}

// simMessage waits for the kernel.
type simMessage struct {
	message transport.Message
	info    []byte // a copy of the first frame when it was sent
	sent    transport.Notifier
}

func newSimConn(p *simProcess) *simConn {
	c := &simConn{world: p.world, process: p}
	c.worker = &worker{conn: c}
	p.world.conns = append(p.world.conns, c)
	return c
}

// Send implements conn.
func (c *simConn) Send(m transport.Message, sent transport.Notifier) error {
	if c.closed {
		return transport.ErrClosed
	}
	c.queue = append(c.queue, &simMessage{m, bytes.Clone(m[0]), sent})
	if len(c.queue) == 1 {
		c.flush()
	}
	return nil
}

// Close implements conn.
func (c *simConn) Close(error) {}

// flush brings the first message to the kernel, and then the others.
func (c *simConn) flush() {
	when := c.world.now.Add(c.world.upTo(3))
	if when.Before(c.blocked) {
		when = c.blocked
	}
	c.world.at(when, func() {
		if c.closed || len(c.queue) == 0 {
			return
		}
		m := c.queue[0]
		c.queue = c.queue[1:]
		if !bytes.Equal(m.info, m.message[0]) {
			c.world.fail("another message than was sent reaches the kernel")
		}
		if m.sent != nil {
			m.sent.Sent(nil)
		}
		c.down(transport.Message{m.info, m.message[1]})
		if len(c.queue) > 0 {
			c.flush()
		}
	})
}

// down lets a message arrive at the worker, behind those before it.
func (c *simConn) down(m transport.Message) {
	c.last = later(c.last, c.world.now.Add(c.world.upTo(10)))
	c.wire = append(c.wire, m)
	c.world.at(c.last, func() {
		c.wire = c.wire[1:]
		if !c.gone {
			c.process.take(m)
		}
	})
}

// up lets a beat arrive at the proxy.
func (c *simConn) up(m transport.Message) {
	c.lastUp = later(c.lastUp, c.world.now.Add(c.world.upTo(10)))
	c.world.at(c.lastUp, func() {
		if c.gone {
			return
		}
		c.world.heard(c, m)
	})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// cut ends the connection; the proxy knows after a while, and then the process
// connects again if there is one.
func (c *simConn) cut(notice time.Duration) {
	if c.gone {
		return
	}
	c.gone = true
	p := c.process
	if p.prime {
		c.world.excuse(c)
	}
	p.conn = nil
	c.world.after(notice, func() {
		c.closed = true
		for _, m := range c.queue {
			c.world.happened.unsent++
			if m.sent != nil {
				m.sent.Sent(transport.ErrClosed)
			}
		}
		c.queue = nil
		c.world.note("the proxy loses worker %s", p)
		c.world.conns = slices.DeleteFunc(c.world.conns, func(o *simConn) bool { return o == c })
		c.world.mourned(c)
	})
	p.in(notice+c.world.upTo(100), func() {
		if p.conn == nil {
			p.connect()
		}
	})
}
