package proxy

import (
	"bytes"
	"log/slog"
	"strconv"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// netHolder is a part that holds jobs of fronts: a proxy or a worker.
type netHolder struct {
	netPart
	mute      bool // it claims nothing
	links     []*netLink
	held      func(add func(wire.Key))
	interrupt func(wire.Key)
	gone      func(front uint64, replaced bool)
	back      func(front uint64)
	has       map[wire.Key]time.Time // since when it was seen with which jobs
}

// netLink is what a holder has of a front.
type netLink struct {
	push, sub *netDial
	front     *netFront
	conns     int
	at        uint64 // the instance that was there last
	away      time.Time
	given     bool // its jobs were given up
	number    uint32
	until     time.Time
	loss      bool // the front is to be told of one
}

// attach connects the holder to all fronts.
func (h *netHolder) attach() {
	h.links, h.has = nil, make(map[wire.Key]time.Time)
	for _, f := range h.n.fronts {
		l := &netLink{front: f}
		h.links = append(h.links, l)
		l.push = h.dial(&netDial{to: &f.netPart, keep: true, accept: func(c *netConn) {
			table := f.table
			c.heard[1] = func([]*parcel) {
				if !h.n.bug.deaf {
					table.StageLost(nil, h.n.now)
				}
			}
		}, up: func() {
			h.up(l)
			if l.number != 0 || h.n.now.Before(l.until) {
				h.claim(l)
			}
			if l.loss {
				l.loss = false
				h.tellLoss(l)
			}
		}, down: func() { h.down(l); l.loss = true }})
		l.sub = h.dial(&netDial{to: &f.netPart, accept: func(c *netConn) {
			s := &netSub{c, h}
			f.in(h.n.upTo(5), func() { // the subscription
				f.subs = append(f.subs, s)
				number, window := uint32(0), time.Duration(0)
				if left := f.until.Sub(h.n.now); left > 0 {
					number, window = f.number, left
				}
				f.ask(s, number, window)
			})
			c.heard[1] = func([]*parcel) { f.subs = without(f.subs, s) }
		}, up: func() { h.up(l) }, down: func() { h.down(l) }})
	}
}

func without(subs []*netSub, s *netSub) (kept []*netSub) {
	for _, o := range subs {
		if o != s {
			kept = append(kept, o)
		}
	}
	return kept
}

func (h *netHolder) up(l *netLink) {
	l.conns++
	if now := l.front.table.Instance(); now != l.at {
		if l.at != 0 {
			h.gone(l.at, true)
		}
		l.at, l.given, l.number = now, false, 0
	}
	if l.given {
		l.given = false
		h.back(l.at)
	}
}

func (h *netHolder) down(l *netLink) {
	l.conns--
	l.away = h.n.now
}

// mourn gives up the jobs of fronts that are away for too long.
func (h *netHolder) mourn() {
	for _, l := range h.links {
		if l.at != 0 && l.conns == 0 && !l.given && h.n.now.Sub(l.away) > loopback.DefaultFrontGrace {
			h.n.happened.gone++
			l.given = true
			h.gone(l.at, false)
		}
	}
}

func (h *netHolder) rollCall(front uint64, number uint32, window time.Duration) {
	for _, l := range h.links {
		if l.at == front {
			if number != 0 {
				l.number = number
			}
			l.until = later(l.until, h.n.now.Add(window))
			h.claim(l)
		}
	}
}

// claim says what is held for a front.
func (h *netHolder) claim(l *netLink) {
	var keys []wire.Key
	h.held(func(key wire.Key) {
		if key.Instance == l.at {
			keys = append(keys, key)
		}
	})
	h.say(l, keys...)
}

func (h *netHolder) say(l *netLink, keys ...wire.Key) {
	if h.mute || h.n.bug.silent || l.push.conn == nil || len(keys) == 0 {
		return
	}
	frame := wire.AppendClaim(nil, l.at, l.number, keys)
	l.push.conn.send(0, &parcel{arrive: func() { l.front.claimed(frame) }})
}

// arrived claims a job that has come.
func (h *netHolder) arrived(key wire.Key) {
	for _, l := range h.links {
		if l.at == key.Instance && h.n.now.Before(l.until) {
			h.say(l, key)
		}
	}
}

// missed tells fronts that a connection was lost by which jobs were sent.
func (h *netHolder) missed() {
	for _, l := range h.links {
		if l.loss = l.push.conn == nil; !l.loss {
			h.tellLoss(l)
		}
	}
}

func (h *netHolder) tellLoss(l *netLink) {
	if !h.mute && !h.n.bug.deaf && l.at != 0 {
		h.n.note("%s tells %s of a loss", h, l.front)
		frame := wire.AppendLoss(nil, l.at)
		l.push.send(&parcel{arrive: func() { l.front.claimed(frame) }})
	}
}

// answer sends an answer to its front, again if it gets lost; sent is told once it
// has left or waits.
func (h *netHolder) answer(info wire.Info, text string, sent func()) {
	f := h.n.instances[info.Instance]
	l := h.links[f.index]
	a := loopback.Answer{Info: info, Payload: wire.Frames{[]byte(text)}}
	p := &parcel{key: info.Key()}
	p.arrive = func() {
		if a.Info.Flags.Has(wire.Lost) {
			for _, r := range h.n.requests {
				r.told = r.told || len(r.keys) > 0 && r.key() == info.Key()
			}
		}
		_ = f.current().Answer(a, nil)
	}
	told := false
	p.sent = func(err error) {
		if err != nil {
			l.push.send(p)
		}
		if !told && sent != nil {
			told = true
			sent()
		}
	}
	if l.push.send(p) {
		p.sent(nil)
	}
}

func (f *netFront) current() *loopback.Table { return f.table }

// heldLinks calls add with the keys of answers that have not left.
func (h *netHolder) heldLinks(add func(wire.Key)) {
	for _, l := range h.links {
		l.push.held(add)
	}
}

// netStage is a stage's proxy.
type netStage struct {
	netHolder
	index int
	proxy *Proxy
}

func (s *netStage) start() {
	s.born()
	n := s.n
	c := Config{
		Stage: s.name, Upstream: "inproc://up", Downstream: "inproc://down", Answerer: s, Balancer: BalancerConfig{Attempts: 3},
		Render:  func(*wire.Info, Refusal) []byte { return []byte("refused") },
		Arrived: s.arrived, Logger: slog.New(slog.DiscardHandler),
	}
	if n.bug.repeatsAll {
		c.Balancer.Repeat = RepeatAlways
	}
	var err error
	if s.proxy, err = New(c); err != nil {
		panic(err)
	}
	p := s.proxy
	s.held = func(add func(wire.Key)) {
		for _, l := range s.links {
			p.Held(l.at, add)
		}
		s.heldLinks(add)
	}
	s.interrupt = func(key wire.Key) {
		p.Interrupt(key)
		if n.bug.leaks {
			p.balancer.queue.link(&entry{key: key})
		}
	}
	s.gone, s.back = p.FrontGone, p.FrontBack
	s.attach()
	s.in(tick, s.tick)
}

func (s *netStage) tick() {
	s.proxy.tick(s.n.now)
	s.mourn()
	if s.n.now.Before(s.n.over) {
		s.in(tick, s.tick)
	}
}

// take takes a job.
func (s *netStage) take(m transport.Message) {
	e, _, _, err := open(transport.Message{bytes.Clone(m[0]), m[1]})
	if err != nil {
		panic(err)
	}
	s.proxy.refuseAll(s.proxy.submit([]*envelope{e}, false, s.n.now))
}

// Answer implements loopback.Answerer.
func (s *netStage) Answer(a loopback.Answer, _ transport.Notifier) error {
	s.answer(a.Info, string(a.Payload.Frames()[0]), nil)
	return nil
}

// netDown is the proxy's end of a worker's connection.
type netDown struct {
	conn *netConn
	to   *netWorker
}

func (d *netDown) Send(m transport.Message, sent transport.Notifier) error {
	if d.conn.gone[1] {
		return transport.ErrPeerGone
	}
	info, _ := wire.ParseInfo(m[0])
	m = transport.Message{bytes.Clone(m[0]), m[1]}
	d.conn.send(1, &parcel{key: info.Key(), sent: sent.Sent, arrive: func() { d.to.take(m) }})
	return nil
}

func (d *netDown) Close(error) {}

// netWorker is a worker process.
type netWorker struct {
	netHolder
	stage *netStage
	slots int
	up1   *netDial
	peer  *transport.Peer
	next  map[int]*netDial
	doing []*netJob
	done  []wire.Key
	heard map[wire.Key]bool
	away  map[uint64]bool // fronts that have gone, and for good
}

// netJob is a job in a slot.
type netJob struct {
	info wire.Info
	text string
	over bool
}

func (w *netWorker) start() {
	w.born()
	w.doing, w.done = make([]*netJob, w.slots), make([]wire.Key, w.slots)
	w.heard, w.away, w.next = make(map[wire.Key]bool), make(map[uint64]bool), make(map[int]*netDial)
	w.held = w.holds
	w.interrupt = func(key wire.Key) {
		w.stop(func(j *netJob) bool { return j.info.Key() == key }, false)
		w.heard[key] = true
	}
	w.gone = func(front uint64, replaced bool) {
		w.away[front] = replaced
		w.stop(func(j *netJob) bool { return j.info.Instance == front }, !replaced)
	}
	w.back = func(front uint64) { delete(w.away, front) }
	w.attach()
	w.up1 = w.dial(&netDial{to: &w.stage.netPart, accept: func(c *netConn) {
		p, peer := w.stage.proxy, new(transport.Peer)
		p.workers[peer] = &worker{conn: &netDown{c, w}}
		c.heard[1] = func([]*parcel) {
			gone := p.workers[peer]
			delete(p.workers, peer)
			w.n.note("%s loses %s", w.stage, w)
			// A process that dies may look like a cut, too: it had not read all.
			mayLive := (c.alive(0) || w.n.chance(20)) && !w.n.bug.hasty
			_, left, _ := p.mourn(gone, mayLive, w.n.now)
			w.n.happened.left += left
			w.stage.missed()
		}
		w.peer = peer
	}, up: func() {
		for slot, j := range w.doing {
			if j == nil {
				w.beat(slot)
			}
		}
	}})
	for i := w.stage.index; i < min(w.stage.index+2, len(w.n.stages)); i++ {
		w.next[i] = w.dial(&netDial{to: &w.n.stages[i].netPart, keep: true, accept: func(*netConn) {}, down: w.missed})
	}
	w.in(tick, w.look)
}

func (w *netWorker) look() {
	w.mourn()
	if w.n.now.Before(w.n.over) {
		w.in(tick, w.look)
	}
}

func (w *netWorker) holds(add func(wire.Key)) {
	for _, j := range w.doing {
		if j != nil {
			add(j.info.Key())
		}
	}
	for _, d := range w.next {
		d.held(add)
	}
	w.heldLinks(add)
}

func (w *netWorker) beat(slot int) {
	p, peer := w.stage.proxy, w.peer
	b := wire.Beat{Slot: uint16(slot), Worker: 7, Done: w.done[slot]}
	frame := b.AppendTo(nil)
	w.up1.send(&parcel{arrive: func() {
		to := p.workers[peer]
		if w.n.bug.keepsIdle && w.n.chance(20) {
			_, _ = to.beat(p.balancer, transport.Message{nil, frame}, DefaultMaxSlots)
			return
		}
		if err := p.hear(to, []transport.Message{{nil, frame}}, w.n.now); err != nil {
			w.n.fail("a beat is refused: %v", err)
		}
	}})
}

func (w *netWorker) take(m transport.Message) {
	info, err := wire.ParseInfo(m[0])
	if err != nil {
		panic(err)
	}
	slot, n := int(info.Slot), w.n
	if w.doing[slot] != nil {
		n.fail("slot %d of %s gets a second job", slot, w)
		return
	}
	j := &netJob{info: info, text: string(m[1])}
	w.doing[slot] = j
	w.arrived(info.Key())
	if replaced, gone := w.away[info.Instance]; gone || w.heard[info.Key()] {
		w.end(slot, j, gone && !replaced, w.heard[info.Key()] || replaced)
		return
	}
	n.note("%s begins %s.%d", w, j.text, info.Hops)
	n.started(j)
	took := n.upTo(30)
	if n.chance(8) {
		took = n.upTo(1500)
	}
	w.in(took, func() { w.end(slot, j, false, false) })
}

// stop ends jobs before their time.
func (w *netWorker) stop(which func(*netJob) bool, told bool) {
	for slot, j := range w.doing {
		if j != nil && !j.over && which(j) {
			w.end(slot, j, told, !told)
		}
	}
}

// end gives a job its outcome: none, that it is lost, a job for a next stage or an
// answer.
func (w *netWorker) end(slot int, j *netJob, lost, dropped bool) {
	if j.over || w.doing[slot] != j {
		return
	}
	j.over = true
	n := w.n
	n.note("%s ends %s.%d, lost %t, dropped %t", w, j.text, j.info.Hops, lost, dropped)
	free := func() { w.doing[slot], w.done[slot] = nil, j.info.Key(); w.beat(slot) }
	info := j.info
	next := w.stage.index + 1
	if n.chance(10) {
		next--
	}
	switch d := w.next[next]; {
	case dropped:
		free()
	case lost:
		w.lost(info, free)
	case d != nil && info.Hops < 6:
		m := transport.Message{info.AppendTo(nil), []byte(j.text)}
		told := false
		p := &parcel{key: info.Key(), arrive: func() { n.stages[next].take(m) }}
		p.sent = func(err error) {
			if err != nil {
				w.lost(info, nil)
			}
			if !told {
				told = true
				free()
			}
		}
		if d.send(p) {
			p.sent(nil)
		}
	default:
		text := j.text
		if n.bug.mixesUp && n.chance(5) {
			text = strconv.Itoa(n.rand.IntN(5))
		}
		info.Code = 200
		w.answer(info, text, free)
	}
}

// lost answers that a job was lost.
func (w *netWorker) lost(info wire.Info, sent func()) {
	w.n.happened.saidLost++
	info.Code, info.Flags = 502, info.Flags|wire.Lost
	w.answer(info, "lost", sent)
}
