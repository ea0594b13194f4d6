package daemon

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
)

// proxyFlags are the flags of one stage's proxy alone.
type proxyFlags struct {
	upstream, downstream endpoint
	fronts               namedEndpoints
	interrupts           endpoints
	stage                string
	maxQueue             int
	maxQueueBytes        byteSize
	maxForwarded         int
	maxForwardedBytes    byteSize
	timeout, frontGrace  time.Duration
	repeat               choice[cluster.Repeat]
	admission            choice[cluster.Admission]
	noWorkers            choice[cluster.NoWorkers]
	attempts             int
	drain                time.Duration
	mtls                 mtlsFlags
	network              network
	metrics              metricsFlag
}

func (a *App) proxyCommand(logs *logFlags, stderr io.Writer) *cobra.Command {
	f := proxyFlags{
		drain: defaultDrain, frontGrace: loopback.DefaultFrontGrace, attempts: cluster.DefaultAttempts,
		maxQueue: cluster.DefaultMaxQueue, maxQueueBytes: cluster.DefaultMaxQueueBytes,
		maxForwarded: cluster.DefaultMaxForwarded, maxForwardedBytes: cluster.DefaultMaxForwardedBytes,
		repeat: repeatChoice(), admission: admissionChoice(), noWorkers: noWorkersChoice(),
	}
	cmd := &cobra.Command{
		Use:   "proxy --upstream ENDPOINT --downstream ENDPOINT",
		Short: "the proxy of one stage alone",
		Long: "The proxy of one stage alone. With the loopback and interrupt endpoints of the\n" +
			"fronts it answers for jobs that are lost and drops those nobody waits for.\n\n" +
			"prime_proxyd's form: UPSTREAM DOWNSTREAM [DRAIN_S]",
		Example: "  " + a.Name + " proxy --upstream ipc:///tmp/echo.up --downstream ipc:///tmp/echo.down --loopback ipc:///tmp/front.loop --interrupt ipc:///tmp/front.int",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			log, err := logs.logger(stderr)
			if err != nil {
				return err
			}
			if err := f.positional(args); err != nil {
				return err
			}
			return f.run(cmd.Context(), a, log)
		},
	}
	flags := cmd.Flags()
	flags.Var(&f.upstream, "upstream", "endpoint to bind for jobs, from fronts and other stages")
	flags.Var(&f.downstream, "downstream", "endpoint to bind for the stage's workers")
	flags.Var(&f.fronts, "loopback", "loopback endpoint of a front; repeatable, with names")
	flags.Var(&f.interrupts, "interrupt", "interrupt endpoint of a front; repeatable")
	flags.StringVar(&f.stage, "stage", "", "`name` of the stage in logs")
	flags.IntVar(&f.maxQueue, "max-queue", f.maxQueue, "most `jobs` of fronts that wait for a worker (503)")
	flags.Var(&f.maxQueueBytes, "max-queue-bytes", "most bytes of theirs (503)")
	flags.IntVar(&f.maxForwarded, "max-forwarded", f.maxForwarded, "how many `jobs` more wait in all until those of other stages are refused, too (503)")
	flags.Var(&f.maxForwardedBytes, "max-forwarded-bytes", "how many bytes more, likewise (503)")
	flags.Var(&f.admission, "admission", "which jobs of fronts are taken while there is room: deadline (those that can be done in time; 503) or queue (all)")
	flags.Var(&f.noWorkers, "no-workers", "what becomes of jobs of fronts while there are no workers: wait, or refuse (503)")
	flags.DurationVar(&f.timeout, "timeout", 0, "how long a worker may take for a job until another gets it, or 504; 0: no limit")
	flags.Var(&f.repeat, "repeat", "which jobs another worker gets when one is lost or takes too long: safe, always or never")
	flags.IntVar(&f.attempts, "attempts", f.attempts, "to how many `workers` a job is given in all")
	flags.DurationVar(&f.frontGrace, "front-grace", f.frontGrace, "how long a front may be away before its jobs are given up; negative: for ever")
	flags.DurationVar(&f.drain, "drain", f.drain, "how long stopping may take")
	f.mtls.add(flags)
	f.network.add(flags)
	f.metrics.add(flags)
	return cmd
}

// positional reads prime_proxyd's arguments, if there are any.
func (f *proxyFlags) positional(args []string) (err error) {
	if len(args) == 0 {
		return nil
	}
	if len(args) < 2 || len(args) > 3 {
		return usagef("%d arguments: want UPSTREAM DOWNSTREAM [DRAIN_S], or flags", len(args))
	}
	for i, to := range []*endpoint{&f.upstream, &f.downstream} {
		if err := to.Set(args[i]); err != nil {
			return usageError{err}
		}
	}
	if len(args) == 3 {
		f.drain, err = drainSeconds(args[2])
	}
	return err
}

// check refuses values that are out of bounds.
func (f *proxyFlags) check() error {
	if err := required("upstream", f.upstream, "downstream", f.downstream); err != nil {
		return err
	}
	if f.drain < 0 {
		return usagef("--drain %v is negative", f.drain)
	}
	if f.maxQueue < 1 || f.maxQueueBytes < 1 || f.maxForwarded < 1 || f.maxForwardedBytes < 1 {
		return usagef("--max-queue, --max-forwarded and their bytes have to be at least 1")
	}
	if f.frontGrace == 0 {
		return usagef("--front-grace 0s gives fronts no time to come back")
	}
	if f.timeout < 0 {
		return usagef("--timeout %v is negative", f.timeout)
	}
	if f.attempts < 1 || f.attempts > cluster.MaxAttempts {
		return usagef("--attempts %d: want 1 to %d", f.attempts, cluster.MaxAttempts)
	}
	return nil
}

func (f *proxyFlags) run(ctx context.Context, a *App, log *slog.Logger) error {
	if err := f.check(); err != nil {
		return err
	}
	up, down := string(f.upstream), string(f.downstream)
	mtls, err := f.mtls.config(meet([]string{up}, kindFronts, kindSenders), meet([]string{down}, kindWorkers),
		meet(f.fronts.all(), kindFronts), meet(f.interrupts, kindFronts))
	if err != nil {
		return err
	}
	m, err := f.metrics.open(a)
	if err != nil {
		return err
	}
	p, err := cluster.NewProxy(cluster.ProxyConfig{
		Stage:         f.stage,
		Upstream:      up,
		Downstream:    down,
		MTLS:          mtls,
		Fronts:        f.fronts.fronts(),
		Interrupts:    f.interrupts,
		MaxQueue:      f.maxQueue,
		MaxQueueBytes: int64(f.maxQueueBytes),
		MaxForwarded:  f.maxForwarded, MaxForwardedBytes: int64(f.maxForwardedBytes),
		Timeout:    f.timeout,
		Repeat:     f.repeat.chosen,
		Admission:  f.admission.chosen,
		NoWorkers:  f.noWorkers.chosen,
		Attempts:   f.attempts,
		FrontGrace: f.frontGrace,
		Metrics:    m.metrics,
		Logger:     log,
	})
	if err != nil {
		return usageError{err}
	}
	part, err := m.around(p, log)
	if err != nil {
		return err
	}
	f.network.warn(log, up, down)
	oneCore()
	defer once(p.Ready(), func() {
		up, down := p.Endpoints()
		log.Info("serving", "upstream", up, "downstream", down)
	})()
	return serve(ctx, part, f.drain, log)
}

// all returns the endpoints without their names.
func (e *namedEndpoints) all() []string {
	var all []string
	for _, n := range e.names {
		all = append(all, e.byName[n])
	}
	return all
}

// fronts returns the endpoints as the loopback wants them.
func (e *namedEndpoints) fronts() []loopback.FrontEndpoint {
	var fronts []loopback.FrontEndpoint
	for _, n := range e.names {
		fronts = append(fronts, loopback.FrontEndpoint{Name: n, Endpoint: e.byName[n]})
	}
	return fronts
}
