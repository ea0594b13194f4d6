// Package cluster builds running pipelines out of the other rooms: a whole one
// in this process, or the front of one whose stages are other processes.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/proxy"
)

// Stage describes one stage of a pipeline in this process.
type Stage struct {
	// Name is the stage's, unique in its pipeline.
	Name string
	// Handler does its jobs.
	Handler pipeline.Handler
	// Slots is the number of jobs done at a time; 0: one per core.
	Slots int
	// Next names the stages to which Handler may forward; its own too.
	Next []string
	// MaxVisits bounds how often one job may enter the stage (508); 0: no
	// bound. Of more than 8 such stages in one cycle MaxHops has to bound it.
	MaxVisits int
	// MaxQueue and MaxQueueBytes bound the jobs straight from a front that wait
	// for a worker (503); 0: the front's own bounds are enough.
	MaxQueue      int
	MaxQueueBytes int64
	// Admission says which jobs straight from a front are taken while there is
	// room (503).
	Admission Admission
	// Timeout is how long a handler may take for one job (504); 0: no bound but
	// the deadline. MaxHung bounds the handlers that run on after it while their
	// slots do other jobs; 0: as many as there are slots.
	Timeout time.Duration
	MaxHung int
}

// StagesConfig configures Stages.
type StagesConfig struct {
	// Stages are the pipeline's, at least one. Requests enter by the first.
	Stages []Stage
	// Weights are the shares of the priority classes; nil:
	// proxy.DefaultWeights.
	Weights []int
	// MaxHops bounds how many stages one job may enter (508); 0: no bound.
	MaxHops int
	// Table holds the open requests; Tables, in its place, those of several
	// fronts. The caller runs them.
	Table  *loopback.Table
	Tables []*loopback.Table
	// Spool are the directories in which fronts put large bodies.
	Spool []string
	// Metrics of this process; nil: the stages are not measured.
	Metrics *Metrics
	// Logger gets what is wrong with handlers and jobs; nil: nothing.
	Logger *slog.Logger
}

// Stages are the stages of a pipeline in one process: jobs go from hand to
// hand without being encoded, and without goroutines between the workers.
type Stages struct {
	entry loopback.Stage
	all   []*localStage
}

// localStage is one running stage.
type localStage struct {
	name  string
	queue *proxy.Local
	pool  *pipeline.Pool
}

// NewStages validates cfg and starts nothing. It registers the stages with the
// table, so that interrupts reach them.
func NewStages(cfg StagesConfig) (*Stages, error) {
	if len(cfg.Stages) == 0 {
		return nil, errors.New("cluster: a pipeline has at least one stage")
	}
	if cfg.Table != nil {
		cfg.Tables = append([]*loopback.Table{cfg.Table}, cfg.Tables...)
	}
	if len(cfg.Tables) == 0 {
		return nil, errors.New("cluster: a pipeline needs the table of a front")
	}
	queues, err := cfg.queues()
	if err != nil {
		return nil, err
	}
	back := tables(cfg.Tables).answerer()
	s := &Stages{entry: queues[cfg.Stages[0].Name]}
	for _, c := range cfg.Stages {
		next, err := edges(c, queues)
		if err != nil {
			return nil, err
		}
		queue := queues[c.Name]
		pool, err := pipeline.NewPool(pipeline.PoolConfig{
			Stage:    c.Name,
			Handler:  c.Handler,
			Slots:    c.Slots,
			Slot:     func(int) loopback.Slot { return queue.Slot() },
			Next:     next,
			Loopback: back,
			Timeout:  c.Timeout,
			MaxHung:  c.MaxHung,
			Spool:    cfg.Spool,
			Logger:   cfg.Logger,
		})
		if err != nil {
			return nil, err
		}
		s.all = append(s.all, &localStage{c.Name, queue, pool})
		if err := errors.Join(cfg.Metrics.stage(c.Name, 0, queue.Stats), cfg.Metrics.handling(c.Name, pool)); err != nil {
			return nil, err
		}
		for _, t := range cfg.Tables {
			t.Notify(queue)
			t.Notify(pool)
		}
	}
	return s, nil
}

// queues makes the queue of every stage.
func (c *StagesConfig) queues() (map[string]*proxy.Local, error) {
	all := make([]string, 0, len(c.Stages))
	for _, s := range c.Stages {
		all = append(all, s.Name)
	}
	names, err := hashes(all)
	if err != nil {
		return nil, err
	}
	queues := make(map[string]*proxy.Local, len(c.Stages))
	for _, s := range c.Stages {
		if s.MaxVisits < 0 || c.MaxHops < 0 {
			return nil, fmt.Errorf("cluster: stage %q: the bounds of hops and visits must not be negative", s.Name)
		}
		queues[s.Name] = proxy.NewLocal(proxy.LocalConfig{
			Balancer: proxy.BalancerConfig{
				Stage: s.Name, MaxHops: c.MaxHops, MaxVisits: s.MaxVisits, Names: names,
				Weights: c.Weights, MaxQueue: s.MaxQueue, MaxQueueBytes: s.MaxQueueBytes, Admission: s.Admission,
			},
			Refuse: c.refuse,
			Logger: c.Logger,
		})
	}
	return queues, nil
}

// hashes returns the stages' names by their hashes in envelopes.
func hashes(stages []string) (map[uint32]string, error) {
	names := make(map[uint32]string, len(stages))
	for _, name := range stages {
		hash := wire.StageHash(name)
		switch other, taken := names[hash]; {
		case taken && other == name:
			return nil, fmt.Errorf("cluster: two stages are named %q", name)
		case taken:
			return nil, fmt.Errorf("cluster: stages %q and %q have the same hash %#08x: rename one", other, name, hash)
		}
		names[hash] = name
	}
	return names, nil
}

// refuse answers for a job that no slot gets. One whose deadline has passed is
// the table's to answer.
func (c *StagesConfig) refuse(job *loopback.Job, err error) {
	if errors.Is(err, proxy.ErrExpired) {
		return
	}
	told := proxy.RefusalOf(err)
	info := job.Info
	info.Code = uint16(told.Status)
	response := httptext.NewRefusal(told.Status, because(&info, told.Reason), told.Retry)
	_ = tables(c.Tables).Answer(loopback.Answer{Info: info, Payload: response}, nil)
}

// because is what a client is told of a refusal.
func because(info *wire.Info, reason string) string {
	return reason + " (request " + info.RequestID() + ")"
}

func edges(c Stage, queues map[string]*proxy.Local) (map[string]loopback.Stage, error) {
	next := make(map[string]loopback.Stage, len(c.Next))
	for _, name := range c.Next {
		queue, ok := queues[name]
		if !ok {
			return nil, fmt.Errorf("cluster: stage %q names a next stage %q, which does not exist", c.Name, name)
		}
		next[name] = queue
	}
	return next, nil
}

// Stage returns the stage of a name, nil if there is none.
func (s *Stages) Stage(name string) loopback.Stage {
	for _, st := range s.all {
		if st.name == name {
			return st.queue
		}
	}
	return nil
}

// Entry returns the stage by which requests enter.
func (s *Stages) Entry() loopback.Stage { return s.entry }

// Run works until Shutdown has ended, or ctx ends, which is the hard stop. It
// joins all that it started.
func (s *Stages) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		for _, st := range s.all {
			st.queue.Close()
		}
	})
	defer stop()
	var g errgroup.Group
	for _, st := range s.all {
		g.Go(func() error { return st.pool.Run(ctx) })
	}
	return g.Wait()
}

// Shutdown lets the stages finish what was submitted, the first stage first,
// and closes them. When ctx ends first it closes them at once and returns its
// error. In a pipeline with cycles the front has to be drained before.
func (s *Stages) Shutdown(ctx context.Context) error {
	var errs []error
	for _, st := range s.all {
		if err := st.queue.Shutdown(ctx); err != nil {
			errs = append(errs, fmt.Errorf("cluster: stage %q: %w", st.name, err))
		}
	}
	return errors.Join(errs...)
}

// StageStats is what a stage has done.
type StageStats struct {
	Name string
	pipeline.PoolStats
}

// Stats returns the counters of every stage, in the order of the configuration.
func (s *Stages) Stats() []StageStats {
	stats := make([]StageStats, 0, len(s.all))
	for _, st := range s.all {
		stats = append(stats, StageStats{st.name, st.pool.Stats()})
	}
	return stats
}

// Bench is a pipeline without HTTP: its stages, their table, and a client.
type Bench struct {
	*pipeline.Client
	table  *loopback.Table
	stages *Stages
}

// NewBench validates and starts nothing.
func NewBench(stages []Stage, log *slog.Logger) (*Bench, error) {
	// The batch's width is the bound.
	table, err := loopback.NewTable(loopback.TableConfig{MaxPending: math.MaxInt, MaxPendingBytes: math.MaxInt64})
	if err != nil {
		return nil, err
	}
	s, err := NewStages(StagesConfig{Stages: stages, Table: table, Logger: log})
	if err != nil {
		return nil, err
	}
	return &Bench{pipeline.NewClient(table, s.Entry()), table, s}, nil
}

// Run runs use with the pipeline running, and stops it afterwards: gracefully,
// unless ctx ends. It returns use's error.
func (b *Bench) Run(ctx context.Context, use func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var parts sync.WaitGroup
	defer parts.Wait()
	defer cancel()
	parts.Go(func() { _ = b.table.Run(ctx) })
	parts.Go(func() { _ = b.stages.Run(ctx) })
	if err := use(ctx); err != nil {
		return err
	}
	return b.stages.Shutdown(ctx)
}

// Stats returns the counters of every stage.
func (b *Bench) Stats() []StageStats { return b.stages.Stats() }
