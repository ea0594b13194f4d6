package proxy

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// network is a pipeline of several stages in one goroutine and virtual time:
// fronts with their real tables, which look for lost jobs and repeat them, the real
// proxies, but for their sockets, and a model of workers.
type network struct {
	seed      uint64
	bug       mistake
	rand      *rand.Rand
	begin     time.Time
	now       time.Time
	events    agenda
	fronts    []*netFront
	stages    []*netStage
	workers   []*netWorker
	requests  map[string]*netRequest
	order     []*netRequest
	instances map[uint64]*netFront
	transit   map[wire.Key]int // messages behind the kernel
	blocked   map[[2]*netPart]time.Time
	over      time.Time
	blind     bool // a worker was cut off that cannot tell what it has sent
	failed    *violation
	trace     []string
	happened  netHappened
}

// netHappened counts what networks were like.
type netHappened struct {
	steps, answered, refused, lost, expired, retried, saidLost, calls, inVain, gone, died, cut, left int
}

func (h *netHappened) add(o netHappened) {
	h.steps += o.steps
	h.answered += o.answered
	h.refused += o.refused
	h.lost += o.lost
	h.expired += o.expired
	h.retried += o.retried
	h.saidLost += o.saidLost
	h.calls += o.calls
	h.inVain += o.inVain
	h.gone += o.gone
	h.died += o.died
	h.cut += o.cut
	h.left += o.left
}

// mistake is what is planted in a network.
type mistake struct {
	deaf       bool // fronts do not notice losses
	silent     bool // nobody claims what it has
	repeatsAll bool // jobs that may not run again do
	noDeadline bool // requests have none
	mixesUp    bool // a worker gives one job's answer to another
	keepsIdle  bool // a beat brings no assignment
	leaks      bool // a cancelled key stays in the index
	endsTwice  bool // a client is answered twice
	patient    bool // holders take longer to find a front than its youth lasts
	hasty      bool // a worker that was cut off counts as dead
}

// TestNetwork runs networks that a seed decides: connections that delay and end,
// each end knowing in its own time, parts of every kind that die and come back,
// cuts that heal. One that fails is replayed by
//
//	go test ./proxy -run 'TestNetwork$' -seed N -v
func TestNetwork(t *testing.T) {
	if *seed != 0 {
		n := newNetwork(*seed, mistake{})
		err := n.run()
		t.Log(strings.Join(n.trace, "\n"))
		require.NoError(t, err)
		return
	}
	var sum netHappened
	for i := range uint64(*seeds) {
		n := newNetwork(i+1, mistake{})
		if err := n.run(); err != nil {
			t.Fatalf("%v\n%s\nreplay: go test ./proxy -run 'TestNetwork$' -seed %d -v", err, strings.Join(n.trace[max(0, len(n.trace)-40):], "\n"), i+1)
		}
		sum.add(n.happened)
	}
	t.Logf("%+v", sum)
	for what, count := range map[string]int{
		"answered": sum.answered, "lost": sum.lost, "repeated": sum.retried, "roll calls": sum.calls,
		"claimed in vain": sum.inVain, "fronts that have gone": sum.gone, "died": sum.died, "cut": sum.cut, "left to fronts": sum.left,
	} {
		assert.Positive(t, count, what)
	}
	if *seeds >= 2000 { // it is rare
		assert.Positive(t, sum.saidLost, "said to be lost")
	}
}

// TestNetworkSeesMistakes plants one mistake for each thing that is checked.
func TestNetworkSeesMistakes(t *testing.T) {
	for want, bug := range map[string]mistake{
		"nobody has the job":         {deaf: true},
		"is given up though":         {silent: true},
		"though it may not":          {repeatsAll: true},
		"is open after its deadline": {noDeadline: true},
		"which is another's":         {mixesUp: true},
		"though a slot is idle":      {keepsIdle: true},
		"left over at the end":       {leaks: true},
		"has ended 2 times":          {endsTwice: true},
		"is given up though worker":  {patient: true},
		"is refused though worker":   {hasty: true},
	} {
		t.Run(strings.ReplaceAll(want, " ", "_"), func(t *testing.T) {
			t.Parallel()
			var last error
			for i := range uint64(500) {
				if last = newNetwork(i+1, bug).run(); last != nil {
					break
				}
			}
			require.Error(t, last, "nobody noticed")
			assert.ErrorContains(t, last, want)
			assert.Equal(t, last, newNetwork(seedOf(t, last), bug).run(), "the same network fails in the same way")
		})
	}
}

func newNetwork(seed uint64, bug mistake) *network {
	begin := time.Unix(1_700_000_000, 0)
	n := &network{
		seed: seed, bug: bug, rand: rand.New(rand.NewPCG(seed, 2)), begin: begin, now: begin,
		requests: make(map[string]*netRequest), instances: make(map[uint64]*netFront),
		transit: make(map[wire.Key]int), blocked: make(map[[2]*netPart]time.Time), over: begin.Add(60 * time.Second),
	}
	part := func(kind string, i int) netPart { return netPart{n: n, name: fmt.Sprint(kind, i)} }
	for i := range 1 + n.rand.IntN(2) {
		n.fronts = append(n.fronts, &netFront{netPart: part("front", i), index: i})
	}
	for i := range 2 + n.rand.IntN(2) {
		n.stages = append(n.stages, &netStage{netHolder: netHolder{netPart: part("proxy", i)}, index: i})
		for j := range 1 + n.rand.IntN(2) {
			w := &netWorker{netHolder: netHolder{netPart: part(fmt.Sprint("worker", i, "."), j)}, stage: n.stages[i], slots: 1 + n.rand.IntN(2)}
			w.mute = n.chance(15)
			n.workers = append(n.workers, w)
		}
	}
	for _, p := range n.parts() {
		n.after(n.upTo(20), p.start)
	}
	for i := range 5 + n.rand.IntN(20) {
		r := &netRequest{n: i, text: fmt.Sprint("job ", i), repeatable: n.chance(60), starts: make(map[uint32]int)}
		n.requests[r.text] = r
		n.order = append(n.order, r)
		f := n.fronts[n.rand.IntN(len(n.fronts))]
		n.after(100*time.Millisecond+n.upTo(5000), func() {
			r.deadline = n.now.Add(3*time.Second + n.upTo(25000))
			f.request(r)
		})
	}
	for range 1 + n.rand.IntN(5) {
		n.after(200*time.Millisecond+n.upTo(6000), n.trouble)
	}
	if bug.patient {
		n.youngLoss()
	}
	n.after(50*time.Millisecond, n.look)
	return n
}

// youngLoss has a front come back after some time, and then lose a proxy.
func (n *network) youngLoss() {
	f, p := n.fronts[0], n.stages[0]
	n.after(300*time.Millisecond, f.stop)
	n.after(3*time.Second, f.start)
	n.after(3200*time.Millisecond+n.upTo(500), func() {
		if !p.dead {
			p.die()
			n.after(n.upTo(100), p.start)
		}
	})
}

// starter is a part that can be started anew.
type starter struct {
	*netPart
	start, stop func()
}

// parts are all that there are.
func (n *network) parts() (parts []starter) {
	for _, f := range n.fronts {
		parts = append(parts, starter{&f.netPart, f.start, f.stop})
	}
	for _, s := range n.stages {
		parts = append(parts, starter{&s.netPart, s.start, s.die})
	}
	for _, w := range n.workers {
		parts = append(parts, starter{&w.netPart, w.start, w.die})
	}
	return parts
}

func (n *network) holders() (all []*netHolder) {
	for _, s := range n.stages {
		all = append(all, &s.netHolder)
	}
	for _, w := range n.workers {
		all = append(all, &w.netHolder)
	}
	return all
}

// trouble kills a part, or cuts the network between two.
func (n *network) trouble() {
	parts := n.parts()
	p := parts[n.rand.IntN(len(parts))]
	if p.dead {
		return
	}
	if n.chance(50) {
		p.stop()
		n.after(n.upTo([]int{100, 1500, 8000}[n.rand.IntN(3)]), p.start)
		return
	}
	if len(p.conns) == 0 {
		return
	}
	c := p.conns[n.rand.IntN(len(p.conns))]
	a, b := c.ends[0], c.ends[1]
	until := n.now.Add(n.upTo([]int{0, 800, 9000}[n.rand.IntN(3)]))
	n.note("%s and %s are cut off from one another until %v", a, b, until.Sub(n.begin))
	n.happened.cut++
	for _, w := range n.workers {
		n.blind = n.blind || w.mute && (&w.netPart == a || &w.netPart == b)
	}
	n.blocked[[2]*netPart{a, b}], n.blocked[[2]*netPart{b, a}] = until, until
	for _, c := range a.conns {
		if c.ends[0] == b || c.ends[1] == b {
			c.end(300)
		}
	}
}

func (n *network) chance(percent int) bool { return n.rand.IntN(100) < percent }

func (n *network) upTo(ms int) time.Duration {
	return time.Duration(n.rand.IntN(ms*1000+1)) * time.Microsecond
}

func (n *network) after(d time.Duration, do func()) { n.at(n.now.Add(d), do) }

func (n *network) at(t time.Time, do func()) {
	n.events.seq++
	heap.Push(&n.events, &event{t, n.events.seq, do})
}

func (n *network) note(format string, args ...any) {
	n.trace = append(n.trace, fmt.Sprintf("%12v ", n.now.Sub(n.begin))+fmt.Sprintf(format, args...))
}

func (n *network) fail(format string, args ...any) {
	if n.failed == nil {
		n.failed = &violation{n.seed, n.now.Sub(n.begin), fmt.Sprintf(format, args...)}
	}
}

// run lets everything happen, and returns what is wrong.
func (n *network) run() error {
	for n.events.Len() > 0 && n.failed == nil {
		e := heap.Pop(&n.events).(*event)
		if e.at.After(n.over) {
			break
		}
		n.now = e.at
		e.do()
		n.happened.steps++
		for _, f := range n.fronts {
			if f.table != nil {
				f.step()
			}
		}
		n.checkStages()
	}
	if n.failed == nil {
		n.checkEnd()
	}
	if n.failed != nil {
		return n.failed
	}
	return nil
}

// started looks at a job that a worker begins.
func (n *network) started(j *netJob) {
	r := n.requests[j.text]
	r.starts[j.info.Hops]++
	switch count := r.starts[j.info.Hops]; {
	case !r.repeatable && count > 1:
		n.fail("%d runs again though it may not", r.n)
	case j.info.Hops == 1 && count > 9:
		n.fail("%d runs more often than three times three", r.n)
	}
}

// checkStages looks at the queues.
func (n *network) checkStages() {
	for _, s := range n.stages {
		if s.proxy == nil || s.dead {
			continue
		}
		if b := s.proxy.balancer; b.queue.length > 0 && b.idle.length > 0 {
			n.fail("jobs are queued at %s though a slot is idle", s)
		}
	}
}

// unheld is for how long nobody may have the job of an open request: until both
// ends of what lost it know, and the front has asked.
const unheld = 2500 * time.Millisecond

// look sees who has what.
func (n *network) look() {
	carried := make(map[wire.Key]bool)
	for key, count := range n.transit {
		if count > 0 {
			carried[key] = true
		} else {
			delete(n.transit, key)
		}
	}
	for _, h := range n.holders() {
		if h.dead || h.life == 0 {
			continue
		}
		before := h.has
		h.has = make(map[wire.Key]time.Time)
		h.held(func(key wire.Key) {
			carried[key] = true
			since, known := before[key]
			if !known {
				since = n.now
			}
			h.has[key] = since
		})
	}
	for _, f := range n.fronts {
		if f.dead || f.life == 0 {
			continue
		}
		for _, o := range f.outlets {
			o.dial.held(func(key wire.Key) { carried[key] = true })
		}
		for _, r := range f.open {
			switch {
			case carried[r.key()]:
				r.lostSince = time.Time{}
			case r.lostSince.IsZero():
				r.lostSince = n.now
			case n.now.Sub(later(r.lostSince, n.reachable(f))) > unheld && !n.blind:
				n.fail("nobody has the job of %d since %v", r.n, r.lostSince.Sub(n.begin))
			}
		}
	}
	n.after(50*time.Millisecond, n.look)
}

// reachable returns when the last of the cuts that keep others from telling a front
// what was lost has healed, or heals.
func (n *network) reachable(f *netFront) (at time.Time) {
	for pair, until := range n.blocked {
		if pair[0] == &f.netPart {
			at = later(at, until)
		}
	}
	return at
}

// checkEnd wants nothing left when all requests have ended.
func (n *network) checkEnd() {
	for _, r := range n.order {
		if r.ended != 1 {
			n.fail("%d has ended %d times", r.n, r.ended)
		}
	}
	for _, f := range n.fronts {
		if f.dead {
			continue
		}
		if next, any := f.table.Tick(n.now); f.table.Len() != 0 || any {
			n.fail("left over at the end: %d requests at %s, something to do at %v", f.table.Len(), f, next)
		}
	}
	for _, s := range n.stages {
		b := s.proxy.balancer
		if !s.dead && (b.Queued() != 0 || b.held != 0 || len(b.queue.index) != 0 || b.queue.bytes != 0) {
			n.fail("left over at the end: %d queued, %d held, %d indexed at %s", b.Queued(), b.held, len(b.queue.index), s)
		}
	}
}
