package pipeline

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// slot does one job after the other. Its goroutine owns it but for what mu
// guards, the counters, and what Sent needs.
type slot struct {
	pool    *Pool
	place   loopback.Slot
	values  context.Context
	running *sync.WaitGroup // of the goroutines that have a turn
	beat    []byte

	mu          sync.Mutex // guards the fields below
	turn        *turn      // of the goroutine that is the slot's
	timer       *time.Timer
	current     *call     // the job being done
	began       time.Time // current: when
	holding     *call     // the job whose outcome place holds, or held last
	interrupted bool      // current: by its front
	stopped     bool      // the pool is being stopped hard

	jobs, failed atomic.Uint64
	busy         atomic.Int64 // nanoseconds
}

// call is all that one job needs, in one allocation.
type call struct {
	slot *slot
	key  wire.Key
	ctx  jobContext
	job  Job

	stream *stream // nil: the answer comes whole

	abandoned atomic.Bool // its front has gone

	// guarded by slot.mu
	late  bool // the stage's timeout is over: no outcome is wanted
	parts bool // the answer has begun to leave in parts: the timeout does not hold
	hung  bool // so is hangGrace

	outcome sync.Mutex      // guards the fields below
	told    bool            // the client is told that it got lost
	failed  bool            // the join is told so, of a part
	answer  loopback.Answer // what was handed over last; without a payload: the job, to another stage
	info    wire.Info       // its info frame
}

// start runs the slot in a goroutine of its own, which is counted in running
// already: it takes the place of one that is there no more, or not for the slot.
func (s *slot) start() {
	go func() {
		t, clean := s.newTurn(), false
		defer func() {
			switch {
			case clean:
				s.running.Done()
			case s.has(t): // the handler ended its goroutine: runtime.Goexit
				s.start()
			}
		}()
		for {
			job, ok := s.place.Next(s.beat)
			if !ok {
				break
			}
			if s.do(job); !s.has(t) {
				return
			}
		}
		clean = true
	}()
}

// do does one job, and sees to it that its outcome is delivered even if the
// handler panics or ends the goroutine.
func (s *slot) do(job *loopback.Job) {
	c := &call{slot: s, key: job.Info.Key()}
	c.ctx.values = s.values
	if d, ok := job.Info.DeadlineTime(); ok {
		c.ctx.deadline = d.Add(s.pool.cfg.ClockSkew)
	}
	c.job = Job{stage: s.pool.cfg.Stage, info: &job.Info, payload: job.Payload, spool: &s.pool.cfg.Spool}
	if f, plain := job.Payload.(wire.Frames); plain && len(f) == 0 {
		s.deliver(job, c, Result{}, &StatusError{Status: 400, Message: "a job has at least one frame behind its info"})
		return
	}
	if s.unwanted(job, c) {
		return
	}
	began := time.Now()
	if timeout := s.pool.cfg.Timeout; timeout > 0 {
		c.ctx.limit(began.Add(timeout))
	}
	if !s.begin(c, began) {
		return
	}
	result, err := Result{}, errGoexit
	defer func() {
		s.jobs.Add(1)
		took := time.Since(began)
		s.busy.Add(int64(took))
		s.pool.took.Observe(took)
		switch wanted, overran := s.finish(c); {
		case overran:
			s.pool.overran.Add(1)
			s.overrun(c)
		case wanted:
			s.deliver(job, c, result, err)
		}
		c.ctx.end(context.Canceled)
		c.job.close()
	}()
	result, err = s.handle(c)
}

// handle calls the handler, and sends the stream by which it answers; it turns a
// panic into an error.
func (s *slot) handle(c *call) (r Result, err error) {
	returned := false
	defer func() {
		if !returned {
			if p := recover(); p != nil {
				err = newPanic(p)
			} else {
				err = errGoexit
			}
		}
	}()
	r, err = s.pool.cfg.Handler.Handle(&c.ctx, &c.job)
	if err == nil && r.kind == streamed {
		err = s.stream(c, r)
	}
	returned = true
	return r, err
}

// begin makes c the current job, unless it has been interrupted already.
func (s *slot) begin(c *call, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pool.heard.has(c.key) {
		return false
	}
	s.current, s.began, s.interrupted = c, now, false
	s.watch()
	if gone, replaced := s.pool.absent.gone(c.key.Instance); gone { // just now
		s.abandonCurrent(replaced)
	}
	if s.stopped {
		c.ctx.end(context.Canceled)
	}
	return true
}

// finish ends c's time in the slot and reports whether anybody waits for its
// outcome, or whether the stage's timeout is over and nobody has noticed yet.
func (s *slot) finish(c *call) (wanted, overran bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != c { // another goroutine has the slot
		s.pool.hung.Add(-1)
		return false, false
	}
	s.current = nil
	if timeout := s.pool.cfg.Timeout; timeout > 0 {
		s.timer.Stop()
		overran = !c.late && !c.parts && !s.interrupted && time.Since(s.began) >= timeout
	}
	return !s.interrupted && !c.late, overran
}

func (s *slot) interrupt(key wire.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil && s.current.key == key {
		s.interrupted = true
		s.timeAgain(s.current)
		s.current.ctx.end(context.Canceled)
	}
}

// since returns for how long the current job has been running, 0 without one, and
// whether its handler hangs.
func (s *slot) since(now time.Time) (ran time.Duration, hangs bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil {
		return 0, false
	}
	return now.Sub(s.began), s.current.hung
}

func (s *slot) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	if s.current != nil {
		s.current.ctx.end(context.Canceled)
	}
}

func (s *slot) isStopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}
