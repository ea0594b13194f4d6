package proxy

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// tick is how often deadlines are looked at and changes of the status told.
const tick = 100 * time.Millisecond

// Proxy is a stage whose workers are other processes: a Balancer, with a Gatherer
// before it, between two ROUTER sockets. Fronts and workers of other stages send jobs to the upstream
// one; the stage's workers send beats to the downstream one and get jobs.
//
//	DEALER ──info, frames…──▶ upstream │ Proxy │ downstream ◀──beat────────── DEALER
//	       ◀──status (only if announced)│       │           ──info, frames…──▶
//
// Its methods may be called concurrently. The lifecycle: New validates, Run
// binds and serves, Shutdown drains, the end of Run's context stops hard.
//
// Events come in batches on the reader goroutines of the sockets' peers. Each
// batch is worked off under one lock, beats before assignments, and what it
// brings about is sent under it too, which does not block and keeps the order
// of what the Balancer decided. Refusals are made outside.
type Proxy struct {
	cfg      Config
	trouble  limiter // messages that were refused
	lost     limiter // jobs that nobody could be told of
	loops    limiter // jobs that went too far
	slow     limiter // jobs that were held for too long
	flood    limiter // forwarded jobs that were refused
	clocks   clocks
	refused  tally
	ready    chan struct{}
	stop     chan struct{} // closed once drained, or when Shutdown gives up
	finished chan struct{} // closed at the end of Run

	mu                   sync.Mutex // guards the fields below and all workers' state
	balancer             *Balancer
	gatherer             *Gatherer
	workers              map[*transport.Peer]*worker
	audience             audience
	absent               absent
	upstream, downstream string // real endpoints, once bound
	up, down             *transport.Listener
	came, cameBefore     uint64 // jobs, until now and until the last tick
	arrivals             uint64 // jobs queued
	quiet                bool   // nothing was queued or held at the last tick
	leaving              int    // ticks since it drains, and then since it closes
	started              bool
	draining             bool
	closing              bool // peers were told to send no more
	stopping             bool // stop is closed
	over                 bool // no job is taken, and what is lost is not told
}

// New returns a Proxy and acquires nothing. The error joins all that is wrong
// with the configuration.
func New(c Config) (*Proxy, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	return &Proxy{
		cfg:      c,
		ready:    make(chan struct{}),
		stop:     make(chan struct{}),
		finished: make(chan struct{}),
		balancer: NewBalancer(c.Balancer),
		gatherer: NewGatherer(c.gatherer()),
		workers:  make(map[*transport.Peer]*worker),
		clocks:   clocks{of: make(map[*transport.Peer]*clockWatch)},
		audience: audience{peers: make(map[*transport.Peer]struct{}), workers: make(map[*transport.Peer]struct{})},
	}, nil
}

// Run binds both sockets, serves until ctx ends or Shutdown is done, and joins
// all its goroutines. Jobs that are queued then are refused. It returns an
// error if an endpoint cannot be bound, and ErrRunning if it was called before;
// ending is no error.
func (p *Proxy) Run(ctx context.Context) error {
	if err := p.start(); err != nil {
		return err
	}
	defer close(p.finished)
	down, err := transport.Listen(p.cfg.Downstream, p.cfg.options(2*p.cfg.MaxSlots), downstream{p})
	if err != nil {
		return fmt.Errorf("proxy: downstream: %w", err)
	}
	defer down.Close()
	up, err := transport.Listen(p.cfg.Upstream, p.cfg.options(64), upstream{p})
	if err != nil {
		return fmt.Errorf("proxy: upstream: %w", err)
	}
	defer up.Close()
	p.mu.Lock()
	p.upstream, p.downstream = up.Endpoint(), down.Endpoint()
	p.up, p.down = up, down
	p.mu.Unlock()
	close(p.ready)
	return p.serve(ctx, up, down)
}

// start makes Run run once.
func (p *Proxy) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.started:
		return ErrRunning
	case p.stopping:
		return ErrClosed
	}
	p.started = true
	return nil
}

// serve runs the listeners and the clock until the end. The listeners do not
// see the end of ctx: before connections are cut, the proxy has to know that
// their loss is not the workers'.
func (p *Proxy) serve(ctx context.Context, up, down *transport.Listener) error {
	var wg sync.WaitGroup
	var errs [2]error
	failed := make(chan struct{}, len(errs))
	for i, l := range []*transport.Listener{up, down} {
		wg.Go(func() {
			errs[i] = l.Run(context.WithoutCancel(ctx))
			failed <- struct{}{}
		})
	}
	p.clock(ctx, failed)
	p.end()
	up.Close()
	down.Close()
	wg.Wait()
	p.end() // what was on its way to workers has been given back
	for _, err := range errs {
		if err != nil {
			return fmt.Errorf("proxy: %w", err)
		}
	}
	return nil
}

// clock does what time brings about, until something ends the proxy.
func (p *Proxy) clock(ctx context.Context, failed <-chan struct{}) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			p.tick(now)
		case <-p.stop:
			return
		case <-failed:
			return
		case <-ctx.Done():
			return
		}
	}
}

// tick refuses jobs that are late, takes back those that were held for too long,
// ends groups of parts that waited long enough,
// and tells the status.
func (p *Proxy) tick(now time.Time) {
	p.mu.Lock()
	overdue := p.balancer.Overdue(now)
	ended := p.retry(overdue, nil, ErrOverdue)
	late := p.balancer.Expire(now)
	joined, refused := p.gatherer.Expire(now)
	for _, job := range joined {
		refused = append(refused, p.enter(job)...)
	}
	refused = append(refused, p.assign(now)...)
	p.leave()
	p.audience.tell(now, p.status(now))
	p.mu.Unlock()
	if len(overdue) > 0 {
		p.slow.do(now, func(suppressed int) {
			p.cfg.Logger.Warn("jobs held for too long", "jobs", len(overdue), "given_up", len(ended),
				"timeout", p.cfg.Balancer.Timeout, "request_id", overdue[0].Info.RequestID(), "suppressed", suppressed)
		})
	}
	p.giveUp(ended)
	p.refuse(ErrExpired, late...)
	p.refuseAll(refused)
}

// end takes no job any more and refuses those that wait.
func (p *Proxy) end() {
	p.mu.Lock()
	p.over = true
	jobs := append(p.balancer.Clear(), p.gatherer.Clear()...)
	p.mu.Unlock()
	p.refuse(ErrClosed, jobs...)
}

// Ready returns a channel that is closed once both sockets are bound. If Run
// fails it stays open.
func (p *Proxy) Ready() <-chan struct{} { return p.ready }

// UpstreamEndpoint returns the endpoint for jobs with its real address; empty
// before Ready.
func (p *Proxy) UpstreamEndpoint() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.upstream
}

// DownstreamEndpoint returns the endpoint for workers with its real address;
// empty before Ready.
func (p *Proxy) DownstreamEndpoint() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.downstream
}

// Interrupt implements loopback.Interrupter: the job leaves the queue with all its
// parts, without an answer. One that a worker has is that worker's to stop. It is what a
// loopback.Subscriber is to tell.
func (p *Proxy) Interrupt(key wire.Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.balancer.Cancel(key)
	p.gatherer.Drop(key)
}

// Status describes the stage.
func (p *Proxy) Status() wire.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status(time.Now())
}

// status is Status for callers that hold the lock.
func (p *Proxy) status(now time.Time) wire.Status {
	s := p.balancer.Status()
	s.Workers = uint32(len(p.workers))
	s.Parts = uint32(p.gatherer.Waiting())
	s.Draining, s.Closing = p.draining, p.closing
	s.Stuck = p.stuck()
	s.Rate = p.audience.meter.rate(now, p.balancer.Done())
	return s
}

// stuck returns the instances of workers that do not come back from a job. The
// caller holds the lock.
func (p *Proxy) stuck() (instances []uint64) {
	if p.balancer.Stuck() == 0 {
		return nil
	}
	for peer, w := range p.workers {
		if peer.Instance() != 0 && w.stuck() {
			instances = append(instances, peer.Instance())
		}
	}
	slices.Sort(instances)
	return instances[:min(len(instances), wire.MaxStuck)]
}

// Shutdown has fronts send no more jobs, so that the stage runs empty, takes those
// of other stages as before, for a second at most, and ends Run once no job is
// queued or held, some tenths of a second later. Butterfly's fronts and workers keep
// their jobs for a successor; prime_server's fronts, which cannot be told, are
// refused. Called before Run it makes Run return ErrClosed. If ctx ends first it
// stops hard and returns ctx's cause. It returns when Run has, and may be called
// more than once.
func (p *Proxy) Shutdown(ctx context.Context) error {
	p.mu.Lock()
	p.draining = true
	started := p.started
	if !started {
		p.stopNow()
	}
	now := time.Now()
	p.audience.tell(now, p.status(now))
	p.mu.Unlock()
	if !started {
		return nil
	}
	select {
	case <-p.finished:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	p.stopNow()
	p.mu.Unlock()
	<-p.finished
	return context.Cause(ctx)
}
