package loopback

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
)

var _ Gauge = (*Proxies)(nil)

// Wait implements Gauge: it is that of the proxy where it is shortest.
func (p *Proxies) Wait() time.Duration {
	if p.single != nil {
		return p.single.Wait()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wait()
}

// wait is Wait for callers that hold the lock.
func (p *Proxies) wait() time.Duration {
	shortest, any := time.Duration(0), false
	for _, c := range p.from {
		if w := c.state.Status.Wait; c.takes() && (!any || w < shortest) {
			shortest, any = w, true
		}
	}
	return shortest
}

// Busy implements Gauge: it is what the last statuses of the proxies that take
// jobs said, together. Where one has an idle worker, what waits at the others is
// no sign that there is too much to do.
func (p *Proxies) Busy() (slots int, backlogged bool) {
	if p.single != nil {
		return p.single.Busy()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	idle, queued := 0, 0
	for _, c := range p.from {
		if c.takes() {
			s := &c.state.Status
			slots, idle, queued = slots+int(s.Slots), idle+int(s.Idle), queued+int(s.Queued)
		}
	}
	return slots, slots > 0 && idle == 0 && queued > 0
}

// Losable returns the stage as a front's table knows it.
func (p *Proxies) Losable() Losable {
	if p.single != nil {
		return p.single
	}
	return p
}

// LeadsTo says that jobs submitted here may come to these stages, too. Call it
// before Run.
func (p *Proxies) LeadsTo(others ...Losable) {
	if p.single != nil {
		p.single.LeadsTo(others...)
	}
	p.leads = others
}

// Leads implements Losable.
func (p *Proxies) Leads(to Losable) bool {
	return to == Losable(p) || slices.Contains(p.leads, to)
}

// Held implements Losable: it calls add with the keys of a front's jobs that have
// not reached the kernel.
func (p *Proxies) Held(front uint64, add func(wire.Key)) {
	if p.single != nil {
		p.single.Held(front, add)
		return
	}
	note := func(e *errand) {
		if key := e.job.Info.Key(); key.Instance == front {
			add(key)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.waits.jobs {
		note(e)
	}
	for e := range p.leave {
		note(e)
	}
	for _, m := range p.members {
		m.remote.away.held(front, add)
	}
}

// Sockets returns what the connections have, and what waits for a proxy to come.
func (p *Proxies) Sockets() (all transport.Stats) {
	if p.single != nil {
		return p.single.Sockets()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.members {
		all = all.Plus(m.remote.Sockets())
	}
	all.Queued += len(p.waits.jobs)
	all.QueuedBytes += p.waits.bytes
	return all
}

// Meet returns the short name of the proxy where the parts of a scattered job are
// to be joined: what its envelope says, so that all who have a part find the same.
// 0 leaves it to them. One that came a moment ago is not chosen if there are
// others: some may not have connected to it yet, and would send theirs elsewhere.
func (p *Proxies) Meet() uint16 {
	if p.single != nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	from := known(p.from, time.Now())
	i := pick(from, true, rand.Int64N)
	if i < 0 {
		return 0
	}
	name := mark(from[i].state.Instance)
	for _, c := range p.from {
		if c != from[i] && c.up && !c.twin && mark(c.state.Instance) == name {
			return 0
		}
	}
	return name
}

// States returns what is known of each proxy.
func (p *Proxies) States() []ProxyState {
	if p.single != nil {
		return []ProxyState{{p.single.endpoint, p.single.State()}}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []ProxyState
	for _, m := range p.members {
		if !m.twin {
			all = append(all, ProxyState{m.endpoint, m.state})
		}
	}
	return all
}

// Prime reports, as Remote.Prime does, whether that holds for some proxy.
func (p *Proxies) Prime() bool {
	if p.single != nil {
		return p.single.Prime()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.members, func(m *member) bool { return m.remote.Prime() })
}

// count returns how many proxies are connected. The caller holds the lock.
func (p *Proxies) count() (n int) {
	for _, c := range p.from {
		if c.up && !c.twin {
			n++
		}
	}
	return n
}

// findTwins finds connections that lead to the same proxy, by different names or
// addresses of one host. The caller holds the lock.
func (p *Proxies) findTwins() {
	for i, c := range p.from {
		c.twin = c.up && c.state.Instance != 0 && slices.ContainsFunc(p.from[:i], func(o *candidate) bool {
			return o.up && o.state.Instance == c.state.Instance
		})
	}
}
