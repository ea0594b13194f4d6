package daemon

import (
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
)

// proxyCommand is one stage's proxy alone.
func (a *App) proxyCommand(logs *logFlags, stderr io.Writer) *cobra.Command {
	var (
		upstream, downstream endpoint
		fronts               namedEndpoints
		interrupts           endpoints
		stage                string
		drain                = defaultDrain
	)
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
			if len(args) > 0 {
				if drain, err = proxyArgs(args, &upstream, &downstream, drain); err != nil {
					return err
				}
			}
			if err := required("upstream", upstream, "downstream", downstream); err != nil {
				return err
			}
			p, err := cluster.NewProxy(cluster.ProxyConfig{
				Stage:      stage,
				Upstream:   string(upstream),
				Downstream: string(downstream),
				Fronts:     fronts.fronts(),
				Interrupts: interrupts,
				Logger:     log,
			})
			if err != nil {
				return usageError{err}
			}
			go func() {
				<-p.Ready()
				up, down := p.Endpoints()
				log.Info("serving", "upstream", up, "downstream", down)
			}()
			return serve(cmd.Context(), p, drain, log)
		},
	}
	flags := cmd.Flags()
	flags.Var(&upstream, "upstream", "endpoint to bind for jobs, from fronts and other stages")
	flags.Var(&downstream, "downstream", "endpoint to bind for the stage's workers")
	flags.Var(&fronts, "loopback", "loopback endpoint of a front; repeatable, with names")
	flags.Var(&interrupts, "interrupt", "interrupt endpoint of a front; repeatable")
	flags.StringVar(&stage, "stage", "", "`name` of the stage in logs")
	flags.DurationVar(&drain, "drain", drain, "how long stopping may take")
	return cmd
}

// proxyArgs reads prime_proxyd's arguments.
func proxyArgs(args []string, upstream, downstream *endpoint, drain time.Duration) (time.Duration, error) {
	if len(args) < 2 || len(args) > 3 {
		return 0, usagef("%d arguments: want UPSTREAM DOWNSTREAM [DRAIN_S], or flags", len(args))
	}
	for i, to := range []*endpoint{upstream, downstream} {
		if err := to.Set(args[i]); err != nil {
			return 0, usageError{err}
		}
	}
	if len(args) == 3 {
		return drainSeconds(args[2])
	}
	return drain, nil
}

// fronts returns the endpoints as a Sender wants them.
func (e *namedEndpoints) fronts() []loopback.FrontEndpoint {
	var fronts []loopback.FrontEndpoint
	for _, n := range e.names {
		fronts = append(fronts, loopback.FrontEndpoint{Name: n, Endpoint: e.byName[n]})
	}
	return fronts
}

// workerCommand is the workers of one stage alone.
func (a *App) workerCommand(logs *logFlags, stderr io.Writer) *cobra.Command {
	var (
		upstream     endpoint
		next, fronts namedEndpoints
		interrupts   endpoints
		count        int
		stage        string
		drain        = defaultDrain
	)
	cmd := &cobra.Command{
		Use:   "worker NAME --upstream-proxy ENDPOINT --loopback ENDPOINT --interrupt ENDPOINT",
		Short: "the workers of one stage alone",
		Long: "The workers of one stage alone, in one process. NAME is one of:\n  " +
			strings.Join(a.workerNames(), "\n  "),
		Example: "  " + a.Name + " worker echo --upstream-proxy ipc:///tmp/echo.down --loopback ipc:///tmp/front.loop --interrupt ipc:///tmp/front.int --count 4",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("want the name of one worker: %s", strings.Join(a.workerNames(), ", "))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			log, err := logs.logger(stderr)
			if err != nil {
				return err
			}
			handler := a.Workers[args[0]]
			if handler == nil {
				return usagef("there is no worker %q: want %s", args[0], strings.Join(a.workerNames(), ", "))
			}
			if err := required("upstream-proxy", upstream); err != nil {
				return err
			}
			if len(fronts.names) == 0 || len(interrupts) == 0 {
				return usagef("--loopback and --interrupt are needed at least once: the endpoints that the front binds")
			}
			if count < 0 || count > maxWorkers {
				return usagef("--count %d: want 0 to %d", count, maxWorkers)
			}
			w, err := pipeline.NewWorker(pipeline.WorkerConfig{
				Stage:      orName(stage, args[0]),
				Handler:    handler,
				Slots:      orCores(count),
				Upstream:   string(upstream),
				Next:       next.byName,
				Fronts:     fronts.fronts(),
				Interrupts: interrupts,
				Logger:     log,
			})
			if err != nil {
				return usageError{err}
			}
			log.Info("working", "worker", args[0], "slots", orCores(count), "upstream_proxy", string(upstream))
			return serve(cmd.Context(), w, drain, log)
		},
	}
	flags := cmd.Flags()
	flags.Var(&upstream, "upstream-proxy", "downstream endpoint of the stage's own proxy")
	flags.Var(&next, "downstream-proxy", "upstream endpoint of a next stage's proxy; repeatable, with the stages' names")
	flags.Var(&fronts, "loopback", "loopback endpoint of a front; repeatable, with names")
	flags.Var(&interrupts, "interrupt", "interrupt endpoint of a front; repeatable")
	flags.IntVar(&count, "count", 0, "jobs done at a time; 0: one per core")
	flags.StringVar(&stage, "stage", "", "`name` of the stage in logs (default the worker's)")
	flags.DurationVar(&drain, "drain", drain, "how long stopping may take")
	return cmd
}

func orName(name, otherwise string) string {
	if name == "" {
		return otherwise
	}
	return name
}
