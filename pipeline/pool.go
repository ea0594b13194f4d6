package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/butterfly-zmq/butterfly/internal/stats"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// PoolConfig configures a Pool.
type PoolConfig struct {
	// Stage is the stage's name, in logs and errors.
	Stage string
	// Handler does the jobs.
	Handler Handler
	// Slots is the number of jobs done at a time; 0: one per core. For
	// handlers that wait rather than compute, more is better.
	Slots int
	// Slot returns the place of slot number n at the stage: where its jobs
	// come from.
	Slot func(n int) loopback.Slot
	// Next are the stages to which handlers may forward, by name. A single
	// one under "" takes whatever is forwarded.
	Next map[string]loopback.Stage
	// Loopback takes the answers.
	Loopback loopback.Answerer
	// ClockSkew is added to deadlines, since the front that set them may have
	// another clock; 0 where the front is in this process.
	ClockSkew time.Duration
	// Timeout is how long a handler may take for one job; 0: as long as the
	// deadline leaves. Then its context ends, its client is answered 504 whether
	// it returns or not, or the proxy gives the job to another worker.
	Timeout time.Duration
	// MaxHung bounds the handlers that do not return after Timeout and whose
	// slots are given to new goroutines; 0: as many as there are slots. Each
	// costs what it holds. Slots above the bound wait for their handlers.
	MaxHung int
	// Spool are the directories in which fronts put large bodies, for Job.Body.
	Spool []string
	// Logger gets what is wrong with handlers and jobs; nil: nothing.
	Logger *slog.Logger
}

// Validate says what is missing.
func (c *PoolConfig) Validate() error {
	switch {
	case c.Handler == nil:
		return fmt.Errorf("pipeline: pool %q has no handler", c.Stage)
	case c.Slots < 0 || c.Slots > MaxSlots:
		return fmt.Errorf("pipeline: pool %q has %d slots, want 1 to %d", c.Stage, c.Slots, MaxSlots)
	case c.Timeout < 0 || c.MaxHung < 0:
		return fmt.Errorf("pipeline: pool %q has a negative timeout, or bound of handlers that hang", c.Stage)
	case c.Slot == nil:
		return fmt.Errorf("pipeline: pool %q has no source of jobs", c.Stage)
	case c.Loopback == nil:
		return fmt.Errorf("pipeline: pool %q has no loopback", c.Stage)
	}
	return nil
}

// MaxSlots bounds the slots of one pool: a proxy takes no more per process.
const MaxSlots = 4096

// Pool does the jobs of one stage in a fixed number of slots.
type Pool struct {
	cfg    PoolConfig
	log    *slog.Logger
	slots  []*slot
	joins  map[uint32]loopback.Stage // next stages by the hashes of their names
	heard  heard
	absent absent
	hung   atomic.Int64   // handlers that have no slot any more
	lost   rate.Sometimes // log lines about answers that nobody took
	busy   rate.Sometimes // and about next stages that take no job

	streams streams
	overran atomic.Uint64 // jobs that took longer than the timeout
	took    stats.Durations
}

// PoolStats counts a pool's work since it was made.
type PoolStats struct {
	Slots  int
	Jobs   uint64        // handled
	Failed uint64        // of these, with an error or panic
	Busy   time.Duration // spent in handlers that have returned, over all slots
	Oldest time.Duration // for how long the longest of the running handlers has run
	// Overran counts the jobs that took longer than the stage's timeout; those
	// that somebody waited for are among Failed. Hung is how many handlers still run that far beyond it that
	// their slots were given to others, or would be if the bound allowed it.
	Overran uint64
	Hung    int
}

// NewPool validates cfg and starts nothing.
func NewPool(cfg PoolConfig) (*Pool, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Slots == 0 {
		cfg.Slots = runtime.GOMAXPROCS(0)
	}
	cfg.MaxHung = cmp.Or(cfg.MaxHung, cfg.Slots)
	p := &Pool{cfg: cfg, log: cfg.Logger, lost: rate.Sometimes{Interval: time.Second}, busy: rate.Sometimes{Interval: time.Second}}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.log = p.log.With("stage", cfg.Stage)
	p.joins = make(map[uint32]loopback.Stage, len(cfg.Next))
	for name, stage := range cfg.Next {
		if name != "" {
			p.joins[wire.StageHash(name)] = stage
		}
	}
	for n := range cfg.Slots {
		p.slots = append(p.slots, &slot{pool: p, place: cfg.Slot(n)})
	}
	return p, nil
}

// Run does jobs until every slot's stage has closed. When ctx ends first, the
// contexts of running jobs end, their clients are answered 503 unless their
// handlers finish all the same, and Run returns once the handlers have. Those
// that hang beyond the stage's timeout, and have lost their slots, it does not
// wait for.
func (p *Pool) Run(ctx context.Context) error {
	values := context.WithoutCancel(ctx)
	stop := context.AfterFunc(ctx, p.stop)
	defer stop()
	var slots sync.WaitGroup
	slots.Add(len(p.slots))
	for _, s := range p.slots {
		s.values, s.running = values, &slots
		s.start()
	}
	slots.Wait()
	return nil
}

// Leave gives all slots up: jobs already given to them are done, then Run
// returns. It does not block.
func (p *Pool) Leave() {
	for _, s := range p.slots {
		s.place.Leave()
	}
}

// stop is the hard stop.
func (p *Pool) stop() {
	p.Leave()
	for _, s := range p.slots {
		s.stop()
	}
}

// Interrupt implements loopback.Interrupter: it ends the context of the job if
// a handler does it now. A job that has not arrived yet is not begun.
func (p *Pool) Interrupt(key wire.Key) {
	p.heard.add(key)
	for _, s := range p.slots {
		s.interrupt(key)
	}
}

// Stats returns the counters.
func (p *Pool) Stats() PoolStats {
	s := PoolStats{Slots: len(p.slots), Overran: p.overran.Load(), Hung: int(p.hung.Load())}
	now := time.Now()
	for _, slot := range p.slots {
		s.Jobs += slot.jobs.Load()
		s.Failed += slot.failed.Load()
		s.Busy += time.Duration(slot.busy.Load())
		oldest, hangs := slot.since(now)
		s.Oldest = max(s.Oldest, oldest)
		if hangs {
			s.Hung++
		}
	}
	return s
}

// Took returns how long handlers took for their jobs, those left out that have
// not returned.
func (p *Pool) Took() stats.Distribution { return p.took.Read() }

// next returns the stage that a handler named.
func (p *Pool) next(name string) (loopback.Stage, error) {
	if s, ok := p.cfg.Next[name]; ok {
		return s, nil
	}
	if len(p.cfg.Next) == 1 {
		for only, s := range p.cfg.Next {
			if only == "" || name == "" {
				return s, nil
			}
		}
	}
	return nil, &NoNextError{Stage: p.cfg.Stage, Next: name}
}

// NoNextError says that a handler forwarded to a stage that is no next one of
// its own.
type NoNextError struct{ Stage, Next string }

func (e *NoNextError) Error() string {
	if e.Next == "" {
		return fmt.Sprintf("pipeline: stage %q has not exactly one next stage: name the one to forward to", e.Stage)
	}
	return fmt.Sprintf("pipeline: stage %q has no next stage %q", e.Stage, e.Next)
}
