package proxy

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// LocalConfig configures a Local.
type LocalConfig struct {
	// Balancer names the stage, and holds the bounds and the chooser. Its Skew
	// is 0 where all fronts are in this process.
	Balancer BalancerConfig
	// Refuse is given jobs that the stage took and no slot will get, with
	// ErrExpired, ErrClosed, a *DeadlineError, a *LoopError, or one of a
	// Gatherer's errors. It is
	// called without locks held, on the goroutine that noticed. Nil: they are
	// dropped, which is right where the front's table sees to deadlines itself
	// and is closed first, all jobs are admitted, hops and visits have no bounds,
	// and no parts are joined.
	Refuse func(job *loopback.Job, err error)
	// Logger gets jobs that went around too often; nil: nothing.
	Logger *slog.Logger
}

// Local is a stage inside one process: the Balancer under a lock. Submit hands
// a job directly to an idle slot, and a slot that asks for its next job takes a
// queued one at once, without a switch of goroutines. Before it stands a
// Gatherer. It is a loopback.Stage and a loopback.Interrupter, starts no
// goroutine but a timer's where groups of parts may expire, and is safe for
// concurrent use.
type Local struct {
	refuse func(job *loopback.Job, err error)
	log    *slog.Logger
	loops  limiter       // jobs that went too far
	closed chan struct{} // closed together with the stage

	refused tally
	busy    atomic.Uint64 // told, for Busy

	mu       sync.Mutex // guards the fields below and the slots' handles
	balancer *Balancer
	gatherer *Gatherer
	timer    *time.Timer // runs expire; nil before it is needed
	armed    int64       // for when, in Unix µs; 0: it is not
	slots    int         // given out and not left
	draining bool
	over     bool   // no job is taken or given any more
	told     uint64 // what Busy returns: slots, and in the last bit whether backlogged
	meter    meter
}

// NewLocal returns a stage without slots, which takes jobs at once.
func NewLocal(c LocalConfig) *Local {
	if c.Refuse == nil {
		c.Refuse = func(*loopback.Job, error) {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Local{
		log:      c.Logger.With("stage", c.Balancer.Stage),
		closed:   make(chan struct{}),
		balancer: NewBalancer(c.Balancer),
		gatherer: NewGatherer(GathererConfig{Stage: c.Balancer.Stage, Skew: c.Balancer.Skew}),
	}
	l.refuse = func(job *loopback.Job, err error) {
		l.refused.note(err)
		c.Refuse(job, err)
	}
	return l
}

// Submit implements loopback.Stage. The error is a *QueueFullError, a
// *DeadlineError, ErrNoWorkers, or
// ErrClosed after Close and, for jobs straight from a front, during Shutdown. A
// job that has gone around too often, or whose parts cannot be joined, is taken
// and refused.
func (l *Local) Submit(job *loopback.Job, sent transport.Notifier) error {
	slot, next, err := l.take(job)
	if err != nil {
		return l.turnAway(job, sent, err)
	}
	if slot != nil {
		// Outside the lock, which is safe: a slot that is not idle is not
		// closed, and its channel has room for its one job.
		slot.give <- next
	}
	if sent != nil {
		sent.Sent(nil)
	}
	return nil
}

// turnAway refuses a job that the stage had to look into; any other it leaves to
// its submitter.
func (l *Local) turnAway(job *loopback.Job, sent transport.Notifier, err error) error {
	if beforehand(err) {
		l.refused.note(err)
		return err
	}
	l.refuseAll([]Refused{{job, err}})
	if sent != nil {
		sent.Sent(nil)
	}
	return nil
}

// refuseAll refuses jobs. The caller does not hold the lock.
func (l *Local) refuseAll(refused []Refused) {
	for _, r := range refused {
		l.loops.note(l.log, r.Job, r.Err)
		l.refuse(r.Job, r.Err)
	}
}

// take queues a job and returns the one to hand over now, if any.
func (l *Local) take(job *loopback.Job) (*localSlot, *loopback.Job, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over || l.draining && job.Info.Hops == 0 {
		return nil, nil, ErrClosed
	}
	if job.Info.Piece() != nil {
		whole, err := l.gather(job)
		if whole == nil {
			return nil, nil, err
		}
		job = whole
	}
	var now time.Time
	if l.balancer.idle.first == nil {
		now = time.Now() // from when it waits
	}
	if l.balancer.selects(&job.Info) {
		if err := l.balancer.Admit(job, now); err != nil {
			return nil, nil, err
		}
	}
	if err := l.balancer.Submit(job); err != nil {
		return nil, nil, err
	}
	// Where a slot is idle nothing was queued before that it could have got:
	// there is one assignment at most, of a job too fresh to have expired here.
	a, ok := l.balancer.Next(now)
	if !ok {
		l.tell()
		return nil, nil, nil
	}
	return a.Slot.Owner.(*localSlot), a.Job, nil
}

// gather gives a part to the Gatherer, and sees to it that its group expires.
// The caller holds the lock.
func (l *Local) gather(part *loopback.Job) (*loopback.Job, error) {
	job, err := l.gatherer.Take(part, time.Now())
	l.arm()
	return job, err
}

// arm sets the timer for the group that expires next. The caller holds the lock.
func (l *Local) arm() {
	at, any := l.gatherer.Earliest()
	if !any || l.armed != 0 && l.armed <= at {
		return // one that is too early finds nothing, and is set anew
	}
	wait := time.Until(time.UnixMicro(at + 1))
	if l.timer == nil {
		l.timer = time.AfterFunc(wait, l.expire)
	} else {
		l.timer.Reset(wait)
	}
	l.armed = at
}

// expire ends groups whose time has passed.
func (l *Local) expire() {
	l.mu.Lock()
	l.armed = 0
	var refused []Refused
	if !l.over {
		var joined []*loopback.Job
		joined, refused = l.gatherer.Expire(time.Now())
		for _, job := range joined {
			if err := l.balancer.Submit(job); err != nil {
				refused = append(refused, Refused{job, err})
			}
		}
		refused = append(refused, l.dispatch()...)
		l.arm()
		l.closeIfDrained()
	}
	l.mu.Unlock()
	l.refuseAll(refused)
}

// dispatch gives jobs to the idle slots there are for them, and returns those
// that came too late. The caller holds the lock.
func (l *Local) dispatch() (late []Refused) {
	defer l.tell()
	if l.balancer.Queued() == 0 {
		return nil
	}
	now := time.Now()
	for a, ok := l.balancer.Next(now); ok; a, ok = l.balancer.Next(now) {
		if a.Slot == nil {
			late = append(late, Refused{a.Job, a.Err})
			continue
		}
		a.Slot.Owner.(*localSlot).give <- a.Job // there is room: it was idle
	}
	return late
}

// Interrupt implements loopback.Interrupter: the job leaves the queue, with all
// its parts. One that a slot has already is its worker's to stop.
func (l *Local) Interrupt(key wire.Key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.balancer.Cancel(key)
	l.gatherer.Drop(key)
	l.tell()
	l.closeIfDrained()
}

// Status describes the stage. Each slot counts as a worker.
func (l *Local) Status() wire.Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.balancer.Status()
	s.Workers = uint32(l.slots)
	s.Parts = uint32(l.gatherer.Waiting())
	s.Rate = l.meter.rate(time.Now(), l.balancer.Done())
	return s
}

var _ loopback.Gauge = (*Local)(nil)

// Busy implements loopback.Gauge. It takes no lock, since every request asks.
func (l *Local) Busy() (slots int, backlogged bool) {
	packed := l.busy.Load()
	return int(packed >> 1), packed&1 != 0
}

// tell publishes what Busy returns, where that has changed. The caller holds the
// lock, and has changed slots or queue.
func (l *Local) tell() {
	slots, backlogged := l.balancer.Busy()
	packed := uint64(slots) << 1
	if backlogged {
		packed |= 1
	}
	if packed != l.told {
		l.told = packed
		l.busy.Store(packed)
	}
}

// Wait implements loopback.Gauge.
func (l *Local) Wait() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.balancer.Wait()
}

// Shutdown refuses new jobs from fronts with ErrClosed and goes on until no job
// is queued or held, then closes the stage. If ctx ends first the stage is
// closed as by Close, and ctx's error returned.
func (l *Local) Shutdown(ctx context.Context) error {
	l.mu.Lock()
	l.draining = true
	l.closeIfDrained()
	l.mu.Unlock()
	select {
	case <-l.closed:
		return nil
	case <-ctx.Done():
		l.Close()
		return context.Cause(ctx)
	}
}

// Close stops the stage at once: queued jobs are refused with ErrClosed, Submit
// returns it, and every slot's Next returns false. It does not wait for jobs
// that slots hold.
func (l *Local) Close() {
	l.mu.Lock()
	jobs := append(l.balancer.Clear(), l.gatherer.Clear()...)
	l.tell()
	l.close()
	l.mu.Unlock()
	for _, job := range jobs {
		l.refuse(job, ErrClosed)
	}
}

// closeIfDrained ends a Shutdown once nothing is queued or held, and no parts wait
// for others. The caller
// holds the lock.
func (l *Local) closeIfDrained() {
	if l.draining && l.balancer.Quiet() && l.gatherer.Quiet() {
		l.close()
	}
}

// close wakes the slots that wait: only idle ones do. The caller holds the lock.
func (l *Local) close() {
	if l.over {
		return
	}
	l.over = true
	close(l.closed)
	if l.timer != nil {
		l.timer.Stop()
	}
	for s := l.balancer.idle.first; s != nil; s = s.next {
		close(s.Owner.(*localSlot).give)
	}
}
