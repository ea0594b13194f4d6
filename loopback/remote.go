package loopback

import (
	"context"
	"errors"
	"fmt"
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

	draining atomic.Bool // what the last status said
	changed  func()      // called when the state has changed; may be nil

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
	return r, nil
}

// FitForPrime has f look at jobs that waited when the proxy that comes is
// prime_server's, which could not be known before: f makes a job fit for it, or
// says why it cannot be sent, which ends its request. f must not block. Call it
// before Run.
func (r *Remote) FitForPrime(f func(*Job) error) { r.fit = f }

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
// again: it might be done twice. The error is that of transport.Dialer.Send, or,
// for a front, ErrStageDraining.
func (r *Remote) Submit(job *Job, sent transport.Notifier) error {
	if r.table != nil && r.draining.Load() {
		return ErrStageDraining
	}
	if sent != nil || r.table == nil {
		return r.send(&job.Info, job.Payload.Frames(), sent)
	}
	if held, err := r.hold(job); held || err != nil {
		return err
	}
	return r.sendOpen(job)
}

// hold keeps a front's job if the proxy is away, and reports whether it was.
func (r *Remote) hold(job *Job) (held bool, err error) {
	if r.up.Load() {
		return false, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.up.Load() || r.ending {
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
		if err := r.fit(job); err != nil {
			r.table.fail(&job.Info, err)
			return
		}
	}
	if r.sendOpen(job) != nil { // what waits here fits the queue, if that was empty
		r.table.Lost(&job.Info)
	}
}

// onItsWay waits for a front's job to reach the kernel.
type onItsWay struct {
	table *Table
	info  wire.Info
}

// Sent implements transport.Notifier. A job that waits for the proxy to come
// back is not lost: it has until its deadline.
func (o *onItsWay) Sent(err error) {
	if err != nil && !errors.Is(err, transport.ErrWaiting) {
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
	r.up.Store(true)
}

// PeerDown implements transport.Handler.
func (r *Remote) PeerDown(*transport.Peer, error) {
	defer r.tell()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.up.Store(false)
	r.state = RemoteState{}
	r.draining.Store(false)
}

// Receive implements transport.Handler: butterfly's proxies tell their status,
// and whatever else comes is not for us.
func (r *Remote) Receive(_ *transport.Peer, batch []transport.Message) {
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
		r.draining.Store(s.Draining)
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
