package proxy

import (
	"container/heap"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// world is a proxy with its surroundings, in one goroutine and virtual time.
type world struct {
	seed     uint64
	bug      planted
	rand     *rand.Rand
	begin    time.Time
	now      time.Time
	events   agenda
	proxy    *Proxy
	rules    BalancerConfig // what the proxy is held to
	requests map[wire.Key]*request
	order    []*request
	workers  []*simProcess
	conns    []*simConn // that the proxy knows
	since    map[*Slot]possession
	over     time.Time // no request is open behind it
	failed   *violation
	trace    []string
	happened happened
}

// request is one of the front's, with all that is on its way for it.
type request struct {
	key        wire.Key
	repeatable bool
	deadline   time.Time
	open       bool
	excused    bool           // it was lost in a way that cannot be seen
	refusals   int            // by the proxy
	transit    int            // jobs on their way to the proxy
	answers    int            // on their way to the front
	starts     map[uint32]int // how often it was begun, by hops
	forwards   map[uint32]int // how often it was sent to a visit
}

// event is something that will happen. Those of one moment keep their order.
type event struct {
	at  time.Time
	seq int
	do  func()
}

type agenda struct {
	events []*event
	seq    int
}

func (a *agenda) Len() int { return len(a.events) }
func (a *agenda) Less(i, j int) bool {
	x, y := a.events[i], a.events[j]
	return x.at.Before(y.at) || x.at.Equal(y.at) && x.seq < y.seq
}
func (a *agenda) Swap(i, j int) { a.events[i], a.events[j] = a.events[j], a.events[i] }
func (a *agenda) Push(x any)    { a.events = append(a.events, x.(*event)) }
func (a *agenda) Pop() any {
	last := a.events[len(a.events)-1]
	a.events = a.events[:len(a.events)-1]
	return last
}

func newWorld(seed uint64, bug planted) *world {
	begin := time.Unix(1_700_000_000, 0)
	w := &world{
		seed: seed, bug: bug, rand: rand.New(rand.NewPCG(seed, 1)), begin: begin, now: begin,
		requests: make(map[wire.Key]*request), since: make(map[*Slot]possession),
	}
	w.rules = BalancerConfig{
		MaxQueue: 1 + w.rand.IntN(20), Attempts: 1 + w.rand.IntN(4), Repeat: Repeat(w.rand.IntN(3)),
		Timeout: []time.Duration{0, 100 * time.Millisecond, time.Second}[w.rand.IntN(3)],
	}
	c := Config{
		Stage: "sim", Upstream: "inproc://up", Downstream: "inproc://down", Balancer: w.rules, Answerer: w,
		Render: func(*wire.Info, Refusal) []byte { return []byte("refused") }, Logger: slog.New(slog.DiscardHandler),
	}
	w.plant(&c.Balancer)
	var err error
	if w.proxy, err = New(c); err != nil {
		panic(err)
	}
	w.rules.Skew = wire.ClockSkew
	w.people()
	return w
}

// plant makes the proxy's configuration wrong.
func (w *world) plant(c *BalancerConfig) {
	if w.bug.repeatsAll {
		c.Repeat = RepeatAlways
	}
	if w.bug.attempts > 0 {
		c.Attempts = w.bug.attempts
	}
	if w.bug.noTimeout {
		c.Timeout = 0
	}
	if w.bug.noBound {
		c.MaxQueue = 0
	}
}

// people fills the world.
func (w *world) people() {
	for n := range 1 + w.rand.IntN(4) {
		p := &simProcess{world: w, name: string(rune('a' + n)), prime: w.chance(30), knows: w.chance(50), slots: 1 + w.rand.IntN(3)}
		if p.prime {
			p.slots = 1
		}
		w.workers = append(w.workers, p)
		w.after(w.upTo(200), p.start)
		for range w.rand.IntN(4) {
			w.after(w.upTo(4000), p.trouble)
		}
	}
	within := []int{100, 3000, 3000, 3000}[w.rand.IntN(4)]
	for n := range 10 + w.rand.IntN(40) {
		w.after(w.upTo(within), func() { w.open(uint32(n + 1)) })
	}
	w.over = w.begin.Add(10 * time.Second)
	w.after(tick, w.tick)
}

func (w *world) chance(percent int) bool { return w.rand.IntN(100) < percent }

// upTo returns a random time of up to so many milliseconds, in microseconds.
func (w *world) upTo(ms int) time.Duration {
	return time.Duration(w.rand.IntN(ms*1000+1)) * time.Microsecond
}

func (w *world) after(d time.Duration, do func()) { w.at(w.now.Add(d), do) }

func (w *world) at(t time.Time, do func()) {
	w.events.seq++
	heap.Push(&w.events, &event{t, w.events.seq, do})
}

// run lets everything happen, and returns what the checker does not like.
func (w *world) run() error {
	for w.events.Len() > 0 {
		e := heap.Pop(&w.events).(*event)
		w.now = e.at
		e.do()
		w.happened.steps++
		w.check()
		if w.failed != nil {
			return w.failed
		}
	}
	if w.checkEnd(); w.failed != nil {
		return w.failed
	}
	return nil
}

func (w *world) note(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf("%10v ", w.now.Sub(w.begin))+fmt.Sprintf(format, args...))
}

func (w *world) tail(n int) string {
	return strings.Join(w.trace[max(0, len(w.trace)-n):], "\n")
}

// fail notes the first violation.
func (w *world) fail(format string, args ...any) {
	if w.failed == nil {
		w.failed = &violation{w.seed, w.now.Sub(w.begin), fmt.Sprintf(format, args...)}
	}
}

func (w *world) tick() {
	w.proxy.tick(w.now)
	for e := w.proxy.balancer.queue.first; e != nil; e = e.next {
		if e.late(w.now.UnixMicro()) {
			w.fail("%d is queued after its deadline", e.key.ID)
		}
	}
	if w.now.Before(w.over.Add(time.Second)) {
		w.after(tick, w.tick)
	}
	if w.now.Before(w.over) {
		return
	}
	for _, p := range w.workers { // the end of the world
		p.die()
		p.dead = true
	}
}

// open takes a request and sends its job.
func (w *world) open(id uint32) {
	info := wire.Info{ID: id, Time: 1, Version: 1}
	info.Extend()
	info.Instance = 5
	r := &request{
		key: info.Key(), repeatable: w.chance(60), open: true, deadline: w.now.Add(50*time.Millisecond + w.upTo(4000)),
		starts: make(map[uint32]int), forwards: map[uint32]int{1: 1},
	}
	if r.repeatable {
		info.Flags |= wire.Repeatable
	}
	info.SetDeadline(r.deadline)
	w.requests[r.key] = r
	w.order = append(w.order, r)
	w.note("request %d, repeatable %t, until %v", id, r.repeatable, r.deadline.Sub(w.begin))
	w.submit(r, &info)
	w.at(r.deadline, func() { w.leave(r, &w.happened.expired) })
	if w.chance(10) {
		w.after(w.upTo(1000), func() { w.leave(r, &w.happened.left) })
	}
}

// submit sends a job to the proxy.
func (w *world) submit(r *request, info *wire.Info) {
	r.transit++
	m := transport.Message{info.AppendTo(nil), []byte("payload")}
	w.after(w.upTo(5), func() {
		r.transit--
		e, _, _, err := open(m)
		if err != nil {
			panic(err)
		}
		w.proxy.refuseAll(w.proxy.submit([]*envelope{e}, true, w.now))
	})
}

// leave ends a request without an answer.
func (w *world) leave(r *request, count *int) {
	if !r.open {
		return
	}
	*count++
	r.open = false
	w.after(w.upTo(5), func() {
		w.note("interrupt %d", r.key.ID)
		w.proxy.Interrupt(r.key)
		if w.bug.leaksIndex {
			w.proxy.balancer.queue.link(&entry{key: r.key})
		}
	})
}

// Answer implements loopback.Answerer: a refusal of the proxy's.
func (w *world) Answer(a loopback.Answer, _ transport.Notifier) error {
	w.happened.refused++
	w.answer(a.Info.Key(), fmt.Sprint("refusal ", a.Info.Code))
	w.refused(w.requests[a.Info.Key()])
	return nil
}

// answer sends an answer to the front.
func (w *world) answer(key wire.Key, what string) {
	r := w.requests[key]
	r.answers++
	w.after(w.upTo(20), func() {
		r.answers--
		if !r.open {
			w.happened.late++
			return
		}
		w.note("request %d ends by %s", key.ID, what)
		w.happened.answered++
		r.open = false
	})
}
