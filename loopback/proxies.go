package loopback

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/transport"
)

// Proxies is a stage in other processes that one or several proxies serve: each
// job goes to one of them. A host name stands for as many as it has addresses,
// which are followed. It is a Stage and safe for concurrent use.
//
// A job goes where slots are idle, by what the proxies tell; one that has not
// left when its connection is lost goes to another proxy; while none is there
// jobs wait in a bounded queue. Parts of a scattered job go to one of them.
type Proxies struct {
	single  *Remote // the only one that there can ever be; nil: several
	names   *transport.Names
	where   string // all endpoints
	options transport.Options
	table   *Table
	fit     func(*Job) error
	leads   []Losable
	lost    func() // as Remote.lost
	log     *slog.Logger
	account *account // of the jobs of all

	mu      sync.Mutex // guards the fields below
	members []*member
	from    []*candidate // those of members
	waits   backlog[*errand]
	leave   map[*errand]struct{} // have waited, and are about to be sent
	recalls bool                 // parts that wait will be looked at again
	run     func(*member)        // starts a member; nil before Run
	ending  bool
}

// member is a proxy with the connection to it.
type member struct {
	candidate
	remote *Remote
	epoch  uint64 // which connection state is of
	named  bool   // it is among what the endpoints stand for
	stop   context.CancelFunc
}

// ProxyState is what is known of one of a stage's proxies.
type ProxyState struct {
	Endpoint string
	RemoteState
}

// NewProxies validates and acquires nothing. All else is as with NewRemote, which
// it is for a single endpoint without a name.
func NewProxies(endpoints []string, o transport.Options, table *Table) (*Proxies, error) {
	o.Socket = transport.Dealer
	names, err := transport.NewNames(endpoints, o)
	if err != nil {
		return nil, fmt.Errorf("loopback: stage: %w", err)
	}
	p := &Proxies{
		names: names, where: strings.Join(endpoints, ","), options: o, table: table, log: logger(o),
		account: newAccount(), waits: backlog[*errand]{limits: o.Queue.WithDefaults()}, leave: make(map[*errand]struct{}),
	}
	switch {
	case len(endpoints) == 0:
		return nil, errors.New("loopback: stage: it has no endpoint")
	case len(endpoints) == 1 && names.Fixed():
		p.single, err = NewRemote(endpoints[0], o, table)
		return p, err
	}
	p.options.GiveBack = true
	for _, e := range endpoints {
		if p.member(e) != nil {
			return nil, fmt.Errorf("loopback: stage: the endpoint %q is there twice", e)
		}
		if err := p.add(e); err != nil {
			return nil, err
		}
	}
	if table != nil {
		table.Watch(p)
	}
	return p, nil
}

// add makes a member. The caller holds the lock, or nobody else knows p.
func (p *Proxies) add(endpoint string) error {
	m := &member{candidate: candidate{endpoint: endpoint, down: time.Now()}, named: true}
	r := &Remote{table: p.table, line: line{account: p.account}, group: p, changed: func() { p.update(m) }, lost: p.missed}
	if err := r.dial(endpoint, p.options, r); err != nil {
		return fmt.Errorf("loopback: stage: %w", err)
	}
	m.remote = r
	p.members, p.from = append(p.members, m), append(p.from, &m.candidate)
	return nil
}

// member returns the member at an endpoint, or nil.
func (p *Proxies) member(endpoint string) *member {
	for _, m := range p.members {
		if m.endpoint == endpoint {
			return m
		}
	}
	return nil
}

// FitForPrime is Remote.FitForPrime.
func (p *Proxies) FitForPrime(f func(*Job) error) {
	p.fit = f
	if p.single != nil {
		p.single.FitForPrime(f)
	}
}

// OnLoss is Remote.OnLoss, for each of the connections.
func (p *Proxies) OnLoss(f func()) {
	p.lost = f
	if p.single != nil {
		p.single.OnLoss(f)
	}
}

// missed tells of the loss of one of several proxies.
func (p *Proxies) missed() {
	if p.lost != nil {
		p.lost()
	}
}

// Run keeps the connections until ctx ends, and joins what it started. Of a
// front's jobs that wait then nobody is told.
func (p *Proxies) Run(ctx context.Context) error {
	if p.single != nil {
		return p.single.Run(ctx)
	}
	var runs sync.WaitGroup
	defer runs.Wait()
	connected, disconnect := context.WithCancel(context.WithoutCancel(ctx))
	defer disconnect()
	p.mu.Lock()
	p.run = func(m *member) {
		var own context.Context
		own, m.stop = context.WithCancel(connected)
		runs.Go(func() { _ = m.remote.dialer.Run(own) })
	}
	p.mu.Unlock()
	p.names.Run(ctx, p.follow)
	p.end()
	return nil
}

// end lets go of jobs that wait.
func (p *Proxies) end() {
	p.mu.Lock()
	p.ending = true
	left := p.waits.take()
	p.mu.Unlock()
	for _, e := range left {
		if e.sent != nil {
			e.Sent(transport.ErrClosed)
		}
		p.account.settle()
	}
}

// follow takes what the endpoints stand for now. A proxy that is not among it any
// more is kept while it is connected: it may have jobs to do, and says itself if
// it wants no more.
func (p *Proxies) follow(endpoints []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range slices.Clone(p.members) {
		if m.named = slices.Contains(endpoints, m.endpoint); !m.named && !m.up {
			p.remove(m)
		}
	}
	for _, e := range endpoints {
		if p.member(e) == nil {
			if err := p.add(e); err != nil {
				p.log.Error("proxy left out", "endpoint", e, "err", err)
			}
		}
	}
	for _, m := range p.members {
		if m.stop == nil {
			p.run(m)
		}
	}
}

// remove forgets a member, which is not connected. The caller holds the lock.
func (p *Proxies) remove(m *member) {
	i := slices.Index(p.members, m)
	if i < 0 {
		return
	}
	if m.stop != nil {
		m.stop()
	}
	p.members, p.from = slices.Delete(p.members, i, i+1), slices.Delete(p.from, i, i+1)
}

// update takes note of a member's state, and sends what waits if it can.
func (p *Proxies) update(m *member) {
	p.mu.Lock()
	was := m.up
	state, epoch := m.remote.now()
	if epoch != m.epoch {
		m.up, m.sent, m.since = true, 0, time.Now()
	}
	if state.Told != m.state.Told {
		m.sent = 0
	}
	m.state, m.epoch, m.up = state, epoch, m.up && state.Connected && !state.Status.Closing
	m.full = fullUntil(&state.Status, state.Told)
	if was && !m.up {
		m.down = time.Now()
	}
	p.findTwins()
	if was && !m.up && !p.ending {
		p.names.Look()
		if len(p.members) > 1 {
			p.log.Warn("one of several proxies is away", "endpoint", m.endpoint, "left", p.count())
		}
		if !m.named {
			p.remove(m)
		}
	}
	p.resend()
}

// Flush waits until every job has reached the kernel or got lost, or ctx ends. It
// needs Run to be running.
func (p *Proxies) Flush(ctx context.Context) error {
	if p.single != nil {
		return p.single.Flush(ctx)
	}
	return p.account.flush(ctx)
}
