package proxy

import (
	"time"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// What is checked, and the places where mistakes are planted.

// heard gives a beat to the proxy.
func (w *world) heard(c *simConn, m transport.Message) {
	b := w.proxy.balancer
	if w.bug.believesBeats && len(m) == 2 {
		c.worker.all(func(pl *place) {
			if pl.slot.held.job != nil && w.chance(20) {
				b.Idle(pl.slot, nil, pl.slot.held.key)
			}
		})
	}
	if w.bug.keepsIdle && w.chance(20) {
		_, _ = c.worker.beat(b, m, DefaultMaxSlots)
		return
	}
	stuck := b.stuck
	if err := w.proxy.hear(c.worker, []transport.Message{m}, w.now); err != nil {
		w.fail("a beat is refused: %v", err)
	}
	if b.stuck < stuck {
		w.happened.stuck++
	}
	if w.bug.forgetsHeld && w.chance(10) {
		b.held++
	}
}

// mourned tells the proxy of a lost connection.
func (w *world) mourned(c *simConn) {
	p := w.proxy
	var held []*loopback.Job
	c.worker.all(func(pl *place) {
		if pl.slot.maybe != nil {
			w.happened.maybe++
		}
		if pl.slot.held.job != nil {
			held = append(held, pl.slot.held.job)
		}
	})
	if w.bug.losesJobs {
		c.worker.all(func(pl *place) { p.balancer.Leave(pl.slot) })
		return
	}
	if w.bug.sharesMemory && len(held) > 0 {
		for _, other := range w.conns { // as if a job were in two places
			for _, m := range other.queue {
				copy(m.message[0], held[0].Info.AppendTo(nil))
			}
		}
	}
	p.mourn(c.worker, false, w.now)
	for _, job := range held {
		r := w.requests[job.Info.Key()]
		if w.bug.answersTwice && w.queued(r.key) {
			p.refuse(ErrWorkerLost, job)
		}
	}
}

// refused looks at a refusal: every job that is sent to the stage has one outcome,
// and one that is refused is nowhere any more.
func (w *world) refused(r *request) {
	r.refusals++
	sent := 0
	for _, n := range r.forwards {
		sent += n
	}
	if r.refusals > sent {
		w.fail("%d is refused for the %dth time", r.key.ID, r.refusals)
	}
	if sent > 1 {
		return
	}
	kept := w.queued(r.key)
	for _, c := range w.conns {
		c.worker.all(func(pl *place) { kept = kept || pl.slot.held.job != nil && pl.slot.held.key == r.key })
	}
	if kept {
		w.fail("%d is refused, and not ended", r.key.ID)
	}
}

// queued reports whether a job waits.
func (w *world) queued(key wire.Key) bool {
	for e := w.proxy.balancer.queue.first; e != nil; e = e.next {
		if e.key == key {
			return true
		}
	}
	return false
}

// started looks at a job that a worker begins.
func (w *world) started(info *wire.Info) {
	r := w.requests[info.Key()]
	r.starts[info.Hops]++
	if r.starts[info.Hops] > 1 {
		w.happened.repeated++
	}
	sent := r.forwards[info.Hops]
	again := w.rules.Repeat == RepeatAlways || w.rules.Repeat == RepeatSafe && r.repeatable
	switch {
	case !again && r.starts[info.Hops] > sent:
		w.fail("%d ran again though it may not", info.ID)
	case int(info.Attempt) >= w.rules.Attempts, r.starts[info.Hops] > sent*w.rules.Attempts:
		w.fail("%d ran more often than %d times: attempt %d, begun %d times", info.ID, w.rules.Attempts, info.Attempt, r.starts[info.Hops])
	}
}

// check looks at everything after a step.
func (w *world) check() {
	carried := make(map[wire.Key]bool)
	w.checkQueue(carried)
	w.checkSlots(carried)
	for _, p := range w.workers {
		for _, e := range p.doing {
			if e != nil && !e.hangs && !p.dead {
				carried[e.info.Key()] = true
			}
		}
		for _, m := range p.inbox {
			carried[keyIn(m)] = true
		}
		if p.conn != nil {
			for _, m := range p.conn.wire {
				carried[keyIn(m)] = true
			}
		}
	}
	for _, r := range w.order {
		if r.open && r.transit == 0 && r.answers == 0 && !carried[r.key] && !r.excused {
			w.fail("nobody has it: request %d, open until %v", r.key.ID, r.deadline.Sub(w.begin))
		}
		if r.open && w.now.After(r.deadline) {
			w.fail("%d is open after its deadline", r.key.ID)
		}
	}
}

// keyIn returns the key of a job's message.
func keyIn(m transport.Message) wire.Key {
	info, err := wire.ParseInfo(m[0])
	if err != nil {
		panic(err)
	}
	return info.Key()
}

// excuse marks the jobs that a prime_server worker has, or that are on their way
// to it, and that the proxy takes for done, when the connection ends: two beats
// have crossed them, which only their deadline helps against.
func (w *world) excuse(c *simConn) {
	var keys []wire.Key
	for _, m := range append(c.wire, c.process.inbox...) {
		keys = append(keys, keyIn(m))
	}
	for _, e := range c.process.doing {
		if e != nil {
			keys = append(keys, e.info.Key())
		}
	}
	known := make(map[wire.Key]bool)
	c.worker.all(func(pl *place) {
		known[pl.slot.held.key] = true
		if pl.slot.maybe != nil {
			known[pl.slot.maybe.Info.Key()] = true
		}
	})
	for _, key := range keys {
		if r := w.requests[key]; r.open && !known[key] {
			r.excused = true
			w.happened.excused++
		}
	}
}

// checkQueue holds the queue to its bound and to its accounts.
func (w *world) checkQueue(carried map[wire.Key]bool) {
	b := w.proxy.balancer
	length, fresh := 0, 0
	for e := b.queue.first; e != nil; e = e.next {
		length++
		carried[e.key] = true
		if e.job.Info.Hops == 1 && e.job.Info.Attempt == 0 {
			fresh++
		}
	}
	if length != b.queue.length {
		w.fail("%d jobs are queued, counted are %d", length, b.queue.length)
	}
	// Jobs that come back unsent are not held to the bound.
	if fresh > w.rules.MaxQueue+w.happened.unsent {
		w.fail("%d jobs of fronts are queued, at most %d may be", fresh, w.rules.MaxQueue)
	}
	if length > 0 && b.idle.length > 0 {
		w.fail("jobs are queued though a slot is idle")
	}
}

// possession is which job a slot was first seen with, and when.
type possession struct {
	job  *loopback.Job
	from time.Time
}

// checkSlots looks at the slots of all connections that the proxy has.
func (w *world) checkSlots(carried map[wire.Key]bool) {
	b := w.proxy.balancer
	held, idle, stuck, heard := 0, 0, 0, 0
	for _, c := range w.conns {
		c.worker.all(func(pl *place) {
			s := pl.slot
			if s.held.job != nil {
				held++
				carried[s.held.key] = true
				if w.since[s].job != s.held.job {
					w.since[s] = possession{s.held.job, w.now}
				}
				if t := w.rules.Timeout; t > 0 && w.now.Sub(w.since[s].from) > t+2*tick {
					w.fail("%d is held for too long", s.held.key.ID)
				}
			}
			if s.maybe != nil {
				carried[s.maybe.Info.Key()] = true
			}
			if s.idle {
				idle++
			}
			if s.stuck {
				stuck++
			}
			if s.heard {
				heard++
			}
			if s.idle && s.has() {
				w.fail("a slot is idle and has a job")
			}
		})
	}
	if held != b.held || idle != b.idle.length || stuck != b.stuck || heard != b.heard {
		w.fail("%d slots hold jobs, counted are %d; idle %d, %d; stuck %d, %d; heard %d, %d",
			held, b.held, idle, b.idle.length, stuck, b.stuck, heard, b.heard)
	}
	if b.cfg.Timeout > 0 && b.busy.length != b.held {
		w.fail("%d slots are busy, %d hold jobs", b.busy.length, b.held)
	}
}

// checkEnd wants nothing left when everybody has gone.
func (w *world) checkEnd() {
	b := w.proxy.balancer
	if len(w.conns) != 0 || b.Queued() != 0 || b.held != 0 || b.stuck != 0 || b.heard != 0 || b.prime != 0 || b.idle.length != 0 ||
		b.busy.length != 0 || len(b.queue.index) != 0 || b.queue.bytes != 0 || len(b.queue.crowds.all) != 0 || !w.proxy.gatherer.Quiet() {
		w.fail("left over at the end: %d conns, %d queued, %d held, %d stuck, %d heard, %d prime, %d idle, %d busy, %d indexed, %d bytes",
			len(w.conns), b.Queued(), b.held, b.stuck, b.heard, b.prime, b.idle.length, b.busy.length, len(b.queue.index), b.queue.bytes)
	}
	for _, r := range w.order {
		if r.open {
			w.fail("%d never ended", r.key.ID)
		}
	}
}
