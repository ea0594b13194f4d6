package loopback

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
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
	m := &member{candidate: candidate{endpoint: endpoint}, named: true}
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
		m.up, m.sent = true, 0
	}
	if state.Told != m.state.Told {
		m.sent = 0
	}
	m.state, m.epoch, m.up = state, epoch, m.up && state.Connected && !state.Status.Closing
	m.full = fullUntil(&state.Status, state.Told)
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
	var ready []*errand
	if pick(p.from, p.table == nil, rand.Int64N) >= 0 {
		ready = p.waits.take()
		for _, e := range ready {
			p.leave[e] = struct{}{}
		}
	}
	p.mu.Unlock()
	for _, e := range ready {
		p.release(e)
	}
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

// count returns how many proxies are connected. The caller holds the lock.
func (p *Proxies) count() (n int) {
	for _, c := range p.from {
		if c.up && !c.twin {
			n++
		}
	}
	return n
}

// Flush waits until every job has reached the kernel or got lost, or ctx ends. It
// needs Run to be running.
func (p *Proxies) Flush(ctx context.Context) error {
	if p.single != nil {
		return p.single.Flush(ctx)
	}
	return p.account.flush(ctx)
}

// Submit implements Stage. A job that may have left when its connection is lost
// is not sent again: it might be done twice. A front's table decides about those
// of its own. The error is that of transport.Dialer.Send, or, for a front, a
// *StageFullError if all proxies say that they are.
func (p *Proxies) Submit(job *Job, sent transport.Notifier) error {
	if p.single != nil {
		return p.single.Submit(job, sent)
	}
	if p.table != nil {
		if err := p.refuse(time.Now()); err != nil {
			return err
		}
		if sent == nil {
			p.table.Submitted(job, p, time.Now())
		}
	}
	return p.send(&errand{proxies: p, job: job, sent: sent})
}

// refuse returns an error if all proxies that take jobs have said that they are
// full.
func (p *Proxies) refuse(now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	full := false
	for _, c := range p.from {
		if c.takes() {
			if now.UnixNano() >= c.full {
				return nil
			}
			full = true
		}
	}
	if !full {
		return nil
	}
	return &StageFullError{Retry: p.wait()}
}

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

// again finds another proxy for a job that has not left.
func (p *Proxies) again(e *errand) {
	err := p.send(e)
	switch {
	case err == nil:
	case e.sent == nil && p.table != nil:
		p.table.fail(&e.job.Info, ErrLost)
	default:
		e.Sent(err)
	}
}

// release sends what has waited.
func (p *Proxies) release(e *errand) {
	if e.isOpen() {
		p.again(e)
	}
	p.mu.Lock()
	delete(p.leave, e)
	p.mu.Unlock()
	p.account.settle()
}

// send gives a job to a proxy, or keeps it if none is there.
func (p *Proxies) send(e *errand) error {
	for {
		job := e.job
		m, epoch, err := p.choose(e)
		if m == nil {
			if err == nil && e.sent != nil {
				e.Sent(transport.ErrWaiting)
			}
			return err
		}
		if e.late && e.sent == nil && p.fit != nil && m.remote.Prime() {
			fit := *e.job // the table has it, too, and shows it to others
			if err := p.fit(&fit); err != nil {
				p.table.fail(&e.job.Info, err)
				return nil
			}
			job = &fit
		}
		err = m.remote.send(&job.Info, job.Payload.Frames(), e)
		if !errors.Is(err, transport.ErrPeerGone) && !errors.Is(err, transport.ErrClosed) {
			return err
		}
		p.gone(m, epoch)
	}
}

// choose returns the proxy for a job, with the number of its connection, or keeps
// the job and returns nil.
func (p *Proxies) choose(e *errand) (m *member, epoch uint64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := -1
	if info := &e.job.Info; info.Extended && info.Piece() != nil {
		i = meet(p.from, info.Key(), info.Piece())
	} else {
		i = pick(p.from, p.table == nil, rand.Int64N)
	}
	if i < 0 {
		return nil, 0, p.hold(e)
	}
	m = p.members[i]
	m.sent++
	return m, m.epoch, nil
}

// gone says that a connection took nothing any more. The caller does not hold
// the lock.
func (p *Proxies) gone(m *member, epoch uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.epoch == epoch {
		m.up = false
	}
}

// hold keeps a job until a proxy comes. The caller holds the lock.
func (p *Proxies) hold(e *errand) error {
	if p.ending {
		return transport.ErrClosed
	}
	e.late = true
	dropped, ok := p.waits.add(e, func(job *Job) bool { return p.table == nil || p.table.isOpen(&job.Info) })
	for range dropped {
		p.account.settle()
	}
	if !ok {
		return &transport.QueueFullError{Peer: p.where, Count: len(p.waits.jobs), Bytes: p.waits.bytes}
	}
	p.account.open.Add(1)
	return nil
}

// Meet returns the short name of the proxy where the parts of a scattered job are
// to be joined: what its envelope says, so that all who have a part find the same.
// 0 leaves it to them.
func (p *Proxies) Meet() uint16 {
	if p.single != nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i := pick(p.from, true, rand.Int64N)
	if i < 0 {
		return 0
	}
	name := mark(p.from[i].state.Instance)
	for j, c := range p.from {
		if j != i && c.up && !c.twin && mark(c.state.Instance) == name {
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
