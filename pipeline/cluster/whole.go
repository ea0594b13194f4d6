package cluster

import (
	"context"
	"errors"
	"log/slog"
	"net"

	"github.com/butterfly-zmq/butterfly/httpfront"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// WholeConfig configures a Whole.
type WholeConfig struct {
	// Stages are the pipeline's; requests enter by the first, whose Admission is the
	// front's, too.
	Stages []Stage
	// MaxHops bounds how many stages one job may enter (508); 0: no bound.
	MaxHops int
	// HTTP configures the front; its Table, Stage and Lane are set here.
	HTTP httpfront.Config
	// Table bounds the open requests.
	Table loopback.TableConfig
	// Metrics of this process; nil: nothing is measured.
	Metrics *Metrics
	// Logger gets what is wrong; nil: nothing.
	Logger *slog.Logger
}

// Whole is a whole pipeline in this process: the HTTP front and all stages.
type Whole struct {
	table  *loopback.Table
	stages *Stages
	front  *httpfront.Front
	served answers
	life   lifetime
}

// NewWhole validates cfg and acquires nothing.
func NewWhole(cfg WholeConfig) (*Whole, error) {
	table, err := loopback.NewTable(cfg.Table)
	if err != nil {
		return nil, err
	}
	stages, err := NewStages(StagesConfig{Stages: cfg.Stages, MaxHops: cfg.MaxHops, Table: table, Metrics: cfg.Metrics, Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	w := &Whole{table: table, stages: stages, life: newLifetime()}
	cfg.HTTP.Table, cfg.HTTP.Stage, cfg.HTTP.Logger = table, stages.Entry(), cfg.Logger
	if cfg.Stages[0].Admission == AdmitDeadline {
		var way []loopback.Gauge
		for _, st := range stages.all {
			way = append(way, st.queue)
		}
		cfg.HTTP.Lane = newLane(way, false) // who sends jobs around in a circle has a graph
	}
	cfg.HTTP.Own, cfg.HTTP.Served = w.served.of(cfg.Metrics, ""), w.served.of(cfg.Metrics, cfg.Stages[0].Name)
	if w.front, err = httpfront.New(cfg.HTTP); err != nil {
		return nil, err
	}
	return w, cfg.Metrics.front(cfg.Table.FrontName, w.front, table, &w.served, nil)
}

// Run binds the address and serves until Shutdown has ended, or ctx ends, which
// is the hard stop. It joins all that it started. It may run once.
func (w *Whole) Run(ctx context.Context) error {
	defer w.life.begin()()
	serve := func(ctx context.Context) error {
		err := w.front.Run(ctx)
		if ctx.Err() != nil {
			return err
		}
		if unfinished := w.stages.Shutdown(ctx); ctx.Err() == nil {
			err = errors.Join(err, unfinished)
		}
		return err
	}
	return around(ctx, serve, nil, w.table.Run, w.stages.Run)
}

// Ready returns a channel that is closed once requests are accepted.
func (w *Whole) Ready() <-chan struct{} { return w.front.Ready() }

// Addr returns the address listened on, or nil before Ready.
func (w *Whole) Addr() net.Addr { return w.front.Addr() }

// URL returns where the front serves; only after Ready.
func (w *Whole) URL() string { return w.front.URL() }

// Shutdown accepts no new requests, answers those accepted, lets the stages
// finish, and waits until Run has returned, or ctx ends. Cancel Run's context for
// the hard stop.
func (w *Whole) Shutdown(ctx context.Context) error {
	if err := w.front.Shutdown(ctx); err != nil {
		return err
	}
	return w.life.wait(ctx)
}

// Stats returns the counters of every stage.
func (w *Whole) Stats() []StageStats { return w.stages.Stats() }
