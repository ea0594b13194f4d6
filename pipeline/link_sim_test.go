package pipeline

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/proxy"
)

// The slots of a worker move between proxies, whose decisions are a real
// Balancer's, while messages of different connections overtake one another and
// connections are lost, of which the two sides hear at different times.

// simLink is a link with its proxies. Time stands still but for ticks.
type simLink struct {
	t       *rapid.T
	link    *link
	proxies []*simProxy
	doing   []*loopback.Job // by slot: begun
	jobs    uint32
	cycles  bool // jobs bear few keys, which come again
}

// simProxy is one of the stage's proxies.
type simProxy struct {
	sim      *simLink
	home     *home
	balancer *proxy.Balancer
	instance uint64
	draining bool
	conn     *simPeer   // as the worker sees it; nil: down
	conns    []*simPeer // as the proxy sees it
}

// simPeer is a connection: two queues.
type simPeer struct {
	proxy    *simProxy
	up, down []transport.Message
	slots    map[uint16]*proxy.Slot
	cut      bool // for the worker; the proxy has not heard yet
	asks     bool
}

func (p *simPeer) Send(m transport.Message, _ transport.Notifier) error {
	if p.cut {
		return transport.ErrPeerGone
	}
	p.up = append(p.up, m)
	return nil
}
func (p *simPeer) Close(error)      {}
func (p *simPeer) Instance() uint64 { return p.proxy.instance }
func (p *simPeer) Remote() string   { return p.proxy.home.endpoint }

func newSimLink(t *rapid.T) *simLink {
	n := rapid.IntRange(2, 3).Draw(t, "proxies")
	endpoints := "ipc:///p0"
	for i := 1; i < n; i++ {
		endpoints += fmt.Sprintf(",ipc:///p%d", i)
	}
	slots := rapid.IntRange(1, 3).Draw(t, "slots")
	l, err := newLink(endpoints, slots, transport.Options{Instance: 7}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	s := &simLink{t: t, link: l, doing: make([]*loopback.Job, slots), cycles: rapid.Bool().Draw(t, "cycles")}
	l.refuse = func(*loopback.Job, int, string) { t.Fatal("a job came to a slot that is elsewhere") }
	for _, h := range l.homes {
		s.proxies = append(s.proxies, &simProxy{sim: s, home: h, balancer: proxy.NewBalancer(proxy.BalancerConfig{}), instance: 1})
	}
	for i, p := range s.proxies {
		p.instance = uint64(i + 1)
	}
	for _, pl := range l.places {
		pl.rest(nil)
	}
	return s
}

// connect makes a connection, if there is none.
func (p *simProxy) connect() {
	if p.conn == nil {
		p.conn = &simPeer{proxy: p, slots: make(map[uint16]*proxy.Slot)}
		p.conns = append(p.conns, p.conn)
		p.home.conns[0].cameUp(p.conn)
	}
}

// lose ends the connection for the worker; the proxy hears of it later.
func (p *simProxy) lose() {
	if c := p.conn; c != nil {
		p.conn = nil
		c.cut = true
		p.home.conns[0].wentDown(c)
	}
}

// hears has the proxy take the next message of a connection, or its end.
func (p *simProxy) hears(c *simPeer) bool {
	if len(c.up) > 0 {
		m := c.up[0]
		c.up = c.up[1:]
		p.beat(c, m)
		p.assign()
		return true
	}
	if !c.cut {
		return false
	}
	for i, other := range p.conns {
		if other == c {
			p.conns = append(p.conns[:i:i], p.conns[i+1:]...)
		}
	}
	for _, slot := range c.slots {
		p.balancer.Leave(slot) // what is lost is lost here
	}
	return true
}

// beat is what a proxy does with one, as proxy's worker does.
func (p *simProxy) beat(c *simPeer, m transport.Message) {
	b, err := wire.ParseBeat(m[1])
	require.NoError(p.sim.t, err)
	c.asks = c.asks || b.Tell
	slot := c.slots[b.Slot]
	switch {
	case !b.Withdraw:
		if slot == nil {
			slot = p.balancer.Join(proxy.Butterfly, c)
			slot.Owner = simOwner{c, b.Slot}
			c.slots[b.Slot] = slot
		}
		p.balancer.Idle(slot, nil, b.Done)
	case slot == nil || p.balancer.Withdraw(slot, b.Done):
		delete(c.slots, b.Slot)
		c.down = append(c.down, transport.Message{m[1]})
	}
}

type simOwner struct {
	conn *simPeer
	slot uint16
}

// submit gives the proxy a job.
func (p *simProxy) submit() {
	s := p.sim
	s.jobs++
	id := s.jobs
	if s.cycles {
		id = 1 // the same, over and over
	}
	job := &loopback.Job{Info: wire.Info{ID: id, Time: 1}, Payload: wire.Frames{[]byte("x")}}
	job.Info.Extend()
	require.NoError(s.t, p.balancer.Submit(job))
	p.assign()
}

func (p *simProxy) assign() {
	for a, ok := p.balancer.Next(time.Unix(1, 0)); ok; a, ok = p.balancer.Next(time.Unix(1, 0)) {
		to := a.Slot.Owner.(simOwner)
		info := a.Job.Info
		info.Slot = to.slot
		to.conn.down = append(to.conn.down, transport.Message{info.AppendTo(nil), []byte("x")})
	}
}

// tell sends the status to who asked for it.
func (p *simProxy) tell() {
	for _, c := range p.conns {
		if c.asks {
			s := p.balancer.Status()
			s.Draining = p.draining
			c.down = append(c.down, transport.Message{s.AppendTo(nil)})
		}
	}
}

// arrives has the worker take the next message of a proxy.
func (p *simProxy) arrives() bool {
	if p.conn == nil || len(p.conn.down) == 0 {
		return false
	}
	m := p.conn.down[0]
	p.conn.down = p.conn.down[1:]
	require.NoError(p.sim.t, p.home.conns[0].take(p.conn, m))
	return true
}

// work begins jobs that have come to slots that are free.
func (s *simLink) work() {
	for n, pl := range s.link.places {
		if s.doing[n] == nil && len(pl.jobs) > 0 {
			s.doing[n] = pl.begin(<-pl.jobs)
		}
	}
}

// finish ends a slot's job.
func (s *simLink) finish(n int) {
	if s.doing[n] != nil {
		s.doing[n] = nil
		s.link.places[n].rest(nil)
	}
}

// check looks for a slot with two jobs: in hand, waiting for it, or on their way.
// And each of them has a proxy that knows of it, and would miss it.
func (s *simLink) check() {
	has := make([]int, len(s.doing))
	knows := make(map[peer]int)
	for n, pl := range s.link.places {
		has[n] = len(pl.jobs)
		if s.doing[n] != nil {
			has[n]++
		}
		knows[pl.from] += has[n]
	}
	for _, p := range s.proxies {
		if p.conn == nil {
			continue
		}
		for _, m := range p.conn.down {
			if len(m) == 2 {
				info, err := wire.ParseInfo(m[0])
				require.NoError(s.t, err)
				has[info.Slot]++
				knows[p.conn]++
			}
		}
		if st := p.balancer.Status(); len(p.conns) == 1 {
			require.LessOrEqual(s.t, knows[p.conn], int(st.Slots-st.Idle))
		}
	}
	for n, jobs := range has {
		require.LessOrEqual(s.t, jobs, 1, "slot %d", n)
	}
}

// settle lets everything happen that is under way, and some time pass.
func (s *simLink) settle() {
	for range 200 {
		for busy := true; busy; {
			busy = false
			for _, p := range s.proxies {
				for _, c := range p.conns {
					busy = p.hears(c) || busy
				}
				busy = p.arrives() || busy
			}
			s.work()
			for n := range s.doing {
				s.finish(n)
			}
			s.check()
		}
		for _, p := range s.proxies {
			p.tell()
		}
		s.link.tick()
	}
}

func TestASlotNeverHasTwoJobsWhileItMoves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSimLink(t)
		some := func() *simProxy { return s.proxies[rapid.IntRange(0, len(s.proxies)-1).Draw(t, "proxy")] }
		slot := func() int { return rapid.IntRange(0, len(s.doing)-1).Draw(t, "slot") }
		t.Repeat(map[string]func(*rapid.T){
			"connect": func(*rapid.T) { some().connect() },
			"lose":    func(*rapid.T) { some().lose() },
			"submit":  func(*rapid.T) { some().submit() },
			"hear": func(t *rapid.T) {
				if p := some(); len(p.conns) > 0 {
					p.hears(p.conns[rapid.IntRange(0, len(p.conns)-1).Draw(t, "connection")])
				}
			},
			"arrive":      func(*rapid.T) { some().arrives() },
			"arrive more": func(*rapid.T) { some().arrives() },
			"work":        func(*rapid.T) { s.work() },
			"finish":      func(*rapid.T) { s.finish(slot()) },
			"tick":        func(*rapid.T) { s.link.tick() },
			"tell":        func(*rapid.T) { some().tell() },
			"drain":       func(*rapid.T) { p := some(); p.draining = !p.draining },
			"move": func(*rapid.T) { // whether that is wise or not
				s.link.mu.Lock()
				defer s.link.mu.Unlock()
				from, to := some(), some()
				if from != to && s.link.takes(to.home) {
					s.link.move(from.home, to.home, 1, true)
				}
			},
			"": func(*rapid.T) { s.check() },
		})
		s.end()
	})
}

// end brings the stage to rest and looks whether all is well: every job done, and
// the slots idle, spread over the proxies that are there.
func (s *simLink) end() {
	for _, p := range s.proxies {
		p.connect()
		p.draining = false
	}
	s.settle()
	idle := 0
	for _, p := range s.proxies {
		st := p.balancer.Status()
		require.Zero(s.t, st.Queued, "every job finds a slot")
		require.Equal(s.t, st.Idle, st.Slots)
		idle += int(st.Idle)
	}
	require.Equal(s.t, len(s.doing), idle, "each slot is idle, at one proxy")
	least, most := len(s.doing), 0
	for _, p := range s.proxies {
		n := int(p.balancer.Status().Idle)
		least, most = min(least, n), max(most, n)
	}
	require.LessOrEqual(s.t, most-least, 1, "and they are spread evenly")
	for _, pl := range s.link.places {
		pl.Leave()
	}
	s.settle()
	for _, pl := range s.link.places {
		select {
		case <-pl.closed:
		default:
			s.t.Fatal("a slot that leaves waits for ever")
		}
	}
}

// In a cycle a slot may be given the job again that it has just done. A
// withdrawal that crosses it must not count as the end of that.
func TestAWithdrawalEndsNoJobThatItCrosses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSimLink(t)
		s.cycles = true
		for _, p := range s.proxies {
			p.connect()
		}
		s.settle()
		a, b := s.proxies[0], s.proxies[1]
		a.submit()
		s.settle() // it is done, and said to be
		if a.conn.slots[0] == nil {
			return // the one that has done it may be elsewhere
		}
		a.submit()
		s.link.mu.Lock()
		s.link.move(a.home, b.home, len(s.doing), true)
		s.link.mu.Unlock()
		for a.hears(a.conn) {
		}
		st := a.balancer.Status()
		require.EqualValues(t, 1, st.Slots-st.Idle, "the proxy knows of the job")
		s.end()
	})
}
