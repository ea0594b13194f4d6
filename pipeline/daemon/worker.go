package daemon

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline"
)

// workerFlags are the flags of the workers of one stage alone.
type workerFlags struct {
	upstream   proxies
	next       nextProxies
	fronts     namedEndpoints
	interrupts endpoints
	spool      []string
	count      int
	stage      string
	timeout    time.Duration
	frontGrace time.Duration
	drain      time.Duration
	mtls       mtlsFlags
	metrics    metricsFlag
}

// slotsPerCore is how many jobs a worker process does at a time by default,
// for each core: while an outcome is on its way to the proxy and the next job
// on its way back, the core does another.
const slotsPerCore = 8

func (a *App) workerCommand(logs *logFlags, stderr io.Writer) *cobra.Command {
	f := workerFlags{count: slotsPerCore * runtime.NumCPU(), drain: defaultDrain, frontGrace: loopback.DefaultFrontGrace}
	names := strings.Join(a.workerNames(), ", ")
	cmd := &cobra.Command{
		Use:     "worker NAME --upstream-proxy ENDPOINT --loopback ENDPOINT --interrupt ENDPOINT",
		Short:   "the workers of one stage alone",
		Long:    "The workers of one stage alone, in one process. NAME is one of: " + names,
		Example: "  " + a.Name + " worker echo --upstream-proxy ipc:///tmp/echo.down --loopback ipc:///tmp/front.loop --interrupt ipc:///tmp/front.int",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("want the name of one worker: %s", names)
			}
			return nil
		},
		ValidArgs: a.workerNames(),
		RunE: func(cmd *cobra.Command, args []string) error {
			log, err := logs.logger(stderr)
			if err != nil {
				return err
			}
			handler := a.Workers[args[0]]
			if handler == nil {
				return usagef("there is no worker %q: want one of %s", args[0], names)
			}
			return f.run(cmd.Context(), a, args[0], handler, log)
		},
	}
	flags := cmd.Flags()
	flags.Var(&f.upstream, "upstream-proxy", "downstream endpoint of the stage's own proxy; of several with commas between, or repeatable")
	flags.Var(&f.next, "downstream-proxy", "upstream endpoint of a next stage's proxy; repeatable, with the stages' names, and commas between those of one stage")
	flags.Var(&f.fronts, "loopback", "loopback endpoint of a front; repeatable, with names")
	flags.Var(&f.interrupts, "interrupt", "interrupt endpoint of a front; repeatable")
	flags.StringArrayVar(&f.spool, "spool", nil, "`directory` in which a front puts large bodies; repeatable")
	flags.IntVar(&f.count, "count", f.count, "jobs done at a time; the default is 8 per core")
	flags.StringVar(&f.stage, "stage", "", "`name` of the stage in logs (default NAME)")
	flags.DurationVar(&f.timeout, "timeout", 0, "how long a handler may take for a job, as the proxy has it; 0: no limit")
	flags.DurationVar(&f.frontGrace, "front-grace", f.frontGrace, "how long a front may be away before its jobs are given up; negative: for ever")
	flags.DurationVar(&f.drain, "drain", f.drain, "how long stopping may take")
	f.mtls.add(flags)
	f.metrics.add(flags)
	return cmd
}

// check refuses values that are out of bounds.
func (f *workerFlags) check() error {
	if err := required("upstream-proxy", endpoint(f.upstream.String())); err != nil {
		return err
	}
	if len(f.fronts.names) == 0 || len(f.interrupts) == 0 {
		return usagef("--loopback and --interrupt are needed at least once: the endpoints that the front binds")
	}
	if f.drain < 0 {
		return usagef("--drain %v is negative", f.drain)
	}
	if f.frontGrace == 0 {
		return usagef("--front-grace 0s gives fronts no time to come back")
	}
	if f.timeout < 0 {
		return usagef("--timeout %v is negative", f.timeout)
	}
	if f.count < 1 || f.count > maxWorkers {
		return usagef("--count %d: want 1 to %d", f.count, maxWorkers)
	}
	return nil
}

func (f *workerFlags) run(ctx context.Context, a *App, name string, handler pipeline.Handler, log *slog.Logger) error {
	if err := f.check(); err != nil {
		return err
	}
	mtls, err := f.mtls.config(meet(f.upstream, kindProxies), meet(slices.Collect(maps.Values(f.next)), kindProxies),
		meet(f.fronts.all(), kindFronts), meet(f.interrupts, kindFronts))
	if err != nil {
		return err
	}
	if f.stage == "" {
		f.stage = name
	}
	m, err := f.metrics.open(a)
	if err != nil {
		return err
	}
	w, err := pipeline.NewWorker(pipeline.WorkerConfig{
		Stage:      f.stage,
		Handler:    handler,
		Slots:      f.count,
		Timeout:    f.timeout,
		FrontGrace: f.frontGrace,
		Upstream:   f.upstream.String(),
		Next:       f.next,
		Fronts:     f.fronts.fronts(),
		Interrupts: f.interrupts,
		Spool:      f.spool,
		MTLS:       mtls,
		Logger:     log,
	})
	if err != nil {
		return usageError{err}
	}
	if err := m.metrics.Workers(f.stage, w); err != nil {
		return err
	}
	part, err := m.around(w, log)
	if err != nil {
		return err
	}
	log.Info("working", "worker", name, "slots", f.count, "upstream_proxy", f.upstream.String())
	defer adaptWorker(w)()
	return serve(ctx, part, f.drain, log)
}
