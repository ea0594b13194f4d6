package proxy

import (
	"errors"
	"fmt"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// netFront is a front with its real table.
type netFront struct {
	netPart
	table   *loopback.Table
	outlets []*netOutlet
	subs    []*netSub
	open    []*netRequest
	armed   time.Time
	index   int
	number  uint32 // of the latest roll call, and when its window ends
	until   time.Time
}

// netSub is a connection over which a holder hears the front.
type netSub struct {
	conn *netConn
	to   *netHolder
}

// netRequest is a client's.
type netRequest struct {
	n          int
	text       string
	front      *netFront
	pending    *loopback.Pending
	repeatable bool
	deadline   time.Time
	ended      int
	keys       []wire.Key
	lostSince  time.Time // since when nobody has its job
	told       bool      // an answer said that a job of it was lost
	starts     map[uint32]int
}

func (r *netRequest) key() wire.Key { return r.keys[len(r.keys)-1] }

func (f *netFront) start() {
	f.born()
	n := f.n
	f.subs, f.outlets, f.open, f.armed = nil, nil, nil, time.Time{}
	table, err := loopback.NewTable(loopback.TableConfig{Instance: n.rand.Uint64() | 1, FrontName: f.name})
	if err != nil {
		panic(err)
	}
	f.table = table
	n.instances[table.Instance()] = f
	table.Notify(f)
	for i, s := range n.stages {
		o := &netOutlet{front: f, table: table, stage: i}
		o.dial = f.dial(&netDial{to: &s.netPart, keep: true, accept: func(*netConn) {}, down: func() {
			if !n.bug.deaf {
				table.StageLost(o, n.now)
			}
		}})
		f.outlets = append(f.outlets, o)
		table.Watch(o)
	}
}

// stop ends the front; its clients see their connections end.
func (f *netFront) stop() {
	f.die()
	for _, r := range f.open {
		r.ended++
	}
	f.open = nil
}

// netOutlet is a front's way to a stage.
type netOutlet struct {
	front *netFront
	table *loopback.Table
	stage int
	dial  *netDial
}

// Submit implements loopback.Stage.
func (o *netOutlet) Submit(job *loopback.Job, _ transport.Notifier) error {
	n, key := o.front.n, job.Info.Key()
	o.table.Submitted(job, o, n.now)
	r := n.requests[string(job.Payload.Frames()[0])]
	if len(r.keys) > 0 {
		n.happened.retried++
		if !r.repeatable {
			n.fail("%d is submitted again though it may not", r.n)
		}
		n.checkLoss(r)
	}
	r.keys, r.lostSince = append(r.keys, key), time.Time{}
	m := transport.Message{job.Info.AppendTo(nil), job.Payload.Frames()[0]}
	o.dial.send(&parcel{key: key, arrive: func() { n.stages[o.stage].take(m) }})
	return nil
}

// Leads implements loopback.Losable: the stages are a chain.
func (o *netOutlet) Leads(to loopback.Losable) bool { return to.(*netOutlet).stage >= o.stage }

// Held implements loopback.Losable.
func (o *netOutlet) Held(_ uint64, add func(wire.Key)) { o.dial.held(add) }

// Interrupt implements loopback.Interrupter.
func (f *netFront) Interrupt(key wire.Key) {
	for _, s := range f.subs {
		s.conn.send(1, &parcel{arrive: func() { s.to.interrupt(key) }})
	}
}

// RollCall implements loopback.RollCaller.
func (f *netFront) RollCall(number uint32, window time.Duration) {
	f.n.happened.calls++
	f.n.note("%s calls the roll, %d", f, number)
	for _, s := range f.subs {
		f.ask(s, number, window)
	}
	f.number, f.until = number, f.n.now.Add(window)
}

func (f *netFront) ask(s *netSub, number uint32, window time.Duration) {
	front := f.table.Instance()
	s.conn.send(1, &parcel{arrive: func() { s.to.rollCall(front, number, window) }})
}

// claimed takes a claim.
func (f *netFront) claimed(frame []byte) {
	c, err := wire.ParseClaim(frame)
	if err != nil {
		panic(err)
	}
	for _, key := range f.table.Claimed(&c, f.n.now) {
		f.n.happened.inVain++
		f.Interrupt(key)
	}
}

// request opens a request.
func (f *netFront) request(r *netRequest) {
	if f.dead {
		r.ended++
		return
	}
	n := f.n
	ask := loopback.Ask{Now: n.now, Deadline: r.deadline}
	if n.bug.noDeadline {
		ask.Deadline = time.Time{}
	}
	p, err := f.table.Open(ask)
	if err != nil {
		panic(err)
	}
	if r.repeatable || n.bug.repeatsAll {
		p.Info().Flags |= wire.Repeatable
	}
	r.front, r.pending = f, p
	f.open = append(f.open, r)
	n.note("request %d at %s, repeatable %t, until %v", r.n, f, r.repeatable, r.deadline.Sub(n.begin))
	_ = f.outlets[0].Submit(&loopback.Job{Info: *p.Info(), Payload: wire.Frames{[]byte(r.text)}}, nil)
}

// step does what is due, and sees which requests have ended.
func (f *netFront) step() {
	if f.dead {
		return
	}
	n := f.n
	if next, any := f.table.Tick(n.now); any && !next.Equal(f.armed) {
		f.armed = next
		n.at(later(next, n.now), func() {})
	}
	open := f.open[:0]
	for _, r := range f.open {
		select {
		case <-r.pending.Done():
			f.over(r)
		default:
			if n.now.After(r.deadline) {
				n.fail("%d is open after its deadline", r.n)
			}
			open = append(open, r)
		}
	}
	f.open = open
}

// over takes what a request ended with.
func (f *netFront) over(r *netRequest) {
	n := f.n
	r.ended++
	if n.bug.endsTwice && n.chance(5) {
		r.ended++
	}
	if r.ended > 1 {
		n.fail("%d has ended %d times", r.n, r.ended)
	}
	a, err := r.pending.Result()
	switch {
	case errors.Is(err, loopback.ErrLost):
		n.happened.lost++
		n.note("%d is lost", r.n)
		if r.repeatable && len(r.keys) < 3 {
			n.fail("%d is lost, and could be repeated", r.n)
		}
		n.checkLoss(r)
	case err != nil:
		n.happened.expired++
		n.note("%d ends: %v", r.n, err)
	case a.Info.Code == 200:
		n.happened.answered++
		if got := string(a.Payload.Frames()[0]); got != r.text {
			n.fail("%d gets the answer %q, which is another's", r.n, got)
		}
	default:
		n.happened.refused++
		n.note("%d is refused, %d", r.n, a.Info.Code)
		if a.Info.Code == 502 && !r.repeatable && !r.told {
			n.checkRefusal(r, &a.Info)
		}
	}
	r.pending.Release()
}

// slowest is longer than a claim takes to a front that reads nothing for a while.
const slowest = 300 * time.Millisecond

// checkLoss looks whether a job that is given up was lost: whoever has it and has
// been connected to the front all the time would have claimed it, and so would who
// only has to find a front that has just started.
func (n *network) checkLoss(r *netRequest) {
	if r.told {
		r.told = false
		return
	}
	for _, h := range n.holders() {
		if h.dead || h.mute {
			continue
		}
		since, has := h.has[r.key()]
		if !has || n.now.Sub(since) < slowest {
			continue
		}
		l := h.links[r.front.index]
		push, up := l.push.since()
		sub, up2 := l.sub.since()
		long := up && up2 && n.now.Sub(push) > time.Second && n.now.Sub(sub) > time.Second
		if long || l.push.smooth() && l.sub.smooth() {
			n.fail("%d is given up though %s has it, since %v", r.n, h, since.Sub(n.begin))
		}
	}
}

// checkRefusal wants no job refused, as one that its worker is lost with, which a
// worker that lives is doing, unless it has got on since.
func (n *network) checkRefusal(r *netRequest, told *wire.Info) {
	for _, w := range n.workers {
		for _, j := range w.doing {
			if !w.dead && j != nil && !j.over && j.info.Key() == r.key() && j.info.Hops == told.Hops {
				n.fail("%d is refused though %s does it", r.n, w)
			}
		}
	}
}

func (r *netRequest) String() string { return fmt.Sprint("request ", r.n) }
