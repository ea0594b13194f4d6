package loopback

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// Remote is a stage in another process: a DEALER connection to its proxy. It
// is a Stage and safe for concurrent use.
type Remote struct {
	line
	table *Table           // told of jobs that got lost; nil in workers
	fit   func(*Job) error // makes a job fit for prime_server's proxy; may be nil
	leads []Losable        // where its jobs may come to
	lost  func()           // told of connections that ended with jobs; may be nil

	draining atomic.Bool // what the last status said; it ends before up is set
	backlog  atomic.Bool // likewise: jobs wait, and no slot is idle
	slots    atomic.Uint32
	full     atomic.Int64 // until when it holds that the stage is full, in Unix ns; 0: it is not

	group   Losable // of which it is one; nil: it is alone
	changed func()  // called when the state has changed; may be nil

	mu     sync.Mutex // guards the fields below, and changes of up
	state  RemoteState
	epoch  uint64        // connections so far
	prime  bool          // what is known, or was known last, of the workers' kind
	waits  backlog[*Job] // a front's jobs, while the proxy is away
	ending bool          // Run is about to end
}

// RemoteState is what is known of a stage's proxy.
type RemoteState struct {
	Connected bool
	Butterfly bool        // the proxy announced itself; else it is prime_server's
	Instance  uint64      // by which it did so
	Status    wire.Status // the last it told; zero before, and from prime_server
	Told      time.Time   // when it told so; zero before
}

// NewRemote validates and acquires nothing. Jobs may be submitted before and
// while it runs: they wait in a bounded queue for the proxy. A front's table is
// told of jobs submitted without a Notifier that got lost on their way, and asked
// for which of those that wait there is still somebody to wait for them; nil where
// others submit.
func NewRemote(endpoint string, o transport.Options, table *Table) (*Remote, error) {
	o.Socket = transport.Dealer
	r := &Remote{table: table, waits: backlog[*Job]{limits: o.Queue.WithDefaults()}}
	if err := r.dial(endpoint, o, r); err != nil {
		return nil, fmt.Errorf("loopback: stage: %w", err)
	}
	if table != nil {
		table.Watch(r)
	}
	return r, nil
}

// LeadsTo says that jobs submitted here may come to these stages, too. Call it
// before Run.
func (r *Remote) LeadsTo(others ...Losable) { r.leads = others }

// Leads implements Losable.
func (r *Remote) Leads(to Losable) bool { return to == Losable(r) || slices.Contains(r.leads, to) }

// Held implements Losable: it calls add with the keys of a front's jobs that have
// not reached the kernel.
func (r *Remote) Held(front uint64, add func(wire.Key)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, job := range r.waits.jobs {
		if key := job.Info.Key(); key.Instance == front {
			add(key)
		}
	}
	r.away.held(front, add)
}

// FitForPrime has f look at jobs that waited when the proxy that comes is
// prime_server's, which could not be known before: f makes a job fit for it, or
// says why it cannot be sent, which ends its request. f must not block. Call it
// before Run.
func (r *Remote) FitForPrime(f func(*Job) error) { r.fit = f }

// OnLoss has f told of each connection that ended otherwise than in good order: jobs
// that were sent on it may have got lost. f must not block. Call it before Run.
func (r *Remote) OnLoss(f func()) { r.lost = f }

// Run keeps the connection until ctx ends, and joins what it started. Of jobs that
// wait then nobody is told.
func (r *Remote) Run(ctx context.Context) error {
	err := r.dialer.Run(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ending = true
	for range r.waits.take() {
		r.settle()
	}
	return err
}

// Flush waits until every job has reached the kernel or got lost, or ctx ends. It
// needs Run to be running.
func (r *Remote) Flush(ctx context.Context) error { return r.flush(ctx) }

// Submit implements Stage. A job that gets lost with its connection is not sent
// again: it might be done twice. A front's table decides about those of its own.
// While the proxy is about to end, or away, they wait for its successor. The error
// is that of transport.Dialer.Send, or, for a front, a *StageFullError.
func (r *Remote) Submit(job *Job, sent transport.Notifier) error {
	if until := r.full.Load(); until != 0 && r.table != nil && !r.draining.Load() && time.Now().UnixNano() < until {
		return &StageFullError{Retry: r.Wait()}
	}
	if sent != nil || r.table == nil {
		return r.send(&job.Info, job.Payload.Frames(), sent)
	}
	r.table.Submitted(job, r, time.Now())
	if held, err := r.hold(job); held || err != nil {
		return err
	}
	return r.sendOpen(job)
}

// hold keeps a front's job if the proxy is away or drains, and reports whether it
// did.
func (r *Remote) hold(job *Job) (held bool, err error) {
	if r.up.Load() && !r.draining.Load() {
		return false, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.up.Load() && !r.draining.Load() || r.ending {
		return false, nil
	}
	dropped, ok := r.waits.add(job, r.isOpen)
	for range dropped {
		r.settle()
	}
	if !ok {
		return false, &transport.QueueFullError{Peer: r.endpoint, Count: len(r.waits.jobs), Bytes: r.waits.bytes}
	}
	r.open.Add(1)
	return true, nil
}

// isOpen reports whether somebody waits for a job.
func (r *Remote) isOpen(job *Job) bool { return r.table.isOpen(&job.Info) }

// sendOpen sends a front's job, for which somebody waits.
func (r *Remote) sendOpen(job *Job) error {
	return r.send(&job.Info, job.Payload.Frames(), &onItsWay{r.table, job.Info})
}

// release sends what was held back and is still waited for, to a proxy that may
// be prime_server's. The caller holds the lock.
func (r *Remote) release(prime bool) {
	for _, job := range r.waits.take() {
		if r.isOpen(job) {
			r.sendLate(job, prime)
		}
		r.settle()
	}
}

func (r *Remote) sendLate(job *Job, prime bool) {
	if prime && r.fit != nil {
		fit := *job // the table has it, too, and shows it to others
		if err := r.fit(&fit); err != nil {
			r.table.fail(&job.Info, err)
			return
		}
		job = &fit
	}
	if r.sendOpen(job) != nil { // what waits here fits the queue, if that was empty
		r.table.fail(&job.Info, ErrLost)
	}
}

// onItsWay waits for a front's job to reach the kernel.
type onItsWay struct {
	table *Table
	info  wire.Info
}

// Sent implements transport.Notifier. A job that waits for the proxy to come
// back is not lost: it has until its deadline. Nor is it known to be lost that was
// being written when the connection ended: it may have arrived, and somebody may
// claim it.
func (o *onItsWay) Sent(err error) {
	switch {
	case err == nil, errors.Is(err, transport.ErrWaiting):
	case o.table.recovers() && !errors.Is(err, transport.ErrClosed):
	default:
		o.table.Lost(&o.info)
	}
}

// State returns what is known of the stage's proxy.
func (r *Remote) State() RemoteState {
	s, _ := r.now()
	return s
}

// now returns the state, and the number of the latest connection.
func (r *Remote) now() (s RemoteState, epoch uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state, r.epoch
}

// Prime reports whether requests have to keep to what prime_server's parser
// survives: the proxy is prime_server's, or has told of such workers.
//
// While the proxy is away what was known last holds: what is sent now will
// reach its successor.
func (r *Remote) Prime() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.prime
}

// PeerUp implements transport.Handler.
func (r *Remote) PeerUp(p *transport.Peer) {
	defer r.tell()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.epoch++
	r.state = RemoteState{Connected: true, Butterfly: p.Instance() != 0, Instance: p.Instance()}
	if !r.state.Butterfly {
		r.prime = true
	}
	r.release(!r.state.Butterfly)
	r.draining.Store(false)
	r.up.Store(true)
}

// PeerDown implements transport.Handler.
func (r *Remote) PeerDown(*transport.Peer, error) {
	defer r.tell()
	r.mu.Lock()
	r.up.Store(false)
	closing := r.state.Status.Closing // it has all that was sent
	r.state = RemoteState{}
	r.full.Store(0)
	r.backlog.Store(false)
	r.mu.Unlock()
	if r.table != nil {
		r.table.StageLost(r.losable(), time.Now())
	}
	if r.lost != nil && !closing {
		r.lost()
	}
}

// losable returns the stage whose jobs are lost with the connection.
func (r *Remote) losable() Losable {
	if r.group != nil {
		return r.group
	}
	return r
}

// Receive implements transport.Handler: butterfly's proxies tell their status,
// and whatever else comes is not for us. One that closes gets no more, and is
// told so by the end of what we write: then it has all that we sent.
func (r *Remote) Receive(p *transport.Peer, batch []transport.Message) {
	defer r.tell()
	for _, m := range batch {
		if len(m) != 1 {
			continue
		}
		s, err := wire.ParseStatus(m[0])
		if err != nil {
			continue
		}
		r.mu.Lock()
		r.state.Status, r.state.Told = s, time.Now()
		r.prime = s.Prime
		r.draining.Store(s.Draining || s.Closing)
		r.full.Store(fullUntil(&s, r.state.Told))
		r.slots.Store(s.Slots)
		r.backlog.Store(s.Slots > 0 && s.Idle == 0 && s.Queued > 0)
		if s.Closing {
			r.up.Store(false)
			p.Finish()
		}
		r.mu.Unlock()
	}
}

// tell tells whoever wants to know that the state may have changed. The caller
// does not hold the lock.
func (r *Remote) tell() {
	if r.changed != nil {
		r.changed()
	}
}

// trustFull is how long a status that says that a stage is full holds at most: a
// little longer than until the next such one comes.
const trustFull = 150 * time.Millisecond

// fullUntil returns until when a status told at now says that the stage is full,
// in Unix nanoseconds; 0: it does not. It does not hold for longer than half of
// what waits there takes, so that the workers never run out of jobs.
func fullUntil(s *wire.Status, now time.Time) int64 {
	if !s.Full {
		return 0
	}
	return now.Add(min(s.Wait/2, trustFull)).UnixNano()
}

var _ Gauge = (*Remote)(nil)

// Busy implements Gauge: it is what the last status said.
func (r *Remote) Busy() (slots int, backlogged bool) {
	return int(r.slots.Load()), r.backlog.Load()
}

// Wait implements Gauge.
func (r *Remote) Wait() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.Status.Wait
}
