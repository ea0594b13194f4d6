package daemon

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
)

// demoFlags are the flags of the whole pipeline in one process.
type demoFlags struct {
	listen  string
	workers int
	http    httpFlags
	metrics metricsFlag
}

func (f *demoFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.listen, "listen", f.listen, "`address` for HTTP, host:port")
	flags.IntVar(&f.workers, "workers", f.workers, "workers of each stage; 0: one per core")
	f.http.add(flags)
	f.metrics.add(flags)
}

// demo runs the whole pipeline in this process behind HTTP.
func (a *App) demo(ctx context.Context, f demoFlags, log *slog.Logger, stdout io.Writer) error {
	if f.workers < 0 || f.workers > maxWorkers {
		return usagef("--workers %d: want 0 to %d", f.workers, maxWorkers)
	}
	if len(a.Stages) == 0 {
		return usagef("there is no pipeline to run: name a command")
	}
	http, table, err := f.http.config(f.listen, stdout)
	if err != nil {
		return err
	}
	defer closeAccessLog(http.AccessLog, stdout)
	m, err := f.metrics.open(a)
	if err != nil {
		return err
	}
	stages := a.stages(orCores(f.workers))
	for i := range stages {
		stages[i].Admission = f.http.admission.chosen
	}
	whole, err := cluster.NewWhole(cluster.WholeConfig{
		Stages:  stages,
		HTTP:    http,
		Table:   table,
		Metrics: m.metrics,
		Logger:  log,
	})
	if err != nil {
		return err
	}
	part, err := m.around(whole, log)
	if err != nil {
		return err
	}
	defer adaptProcess(whole.Stats)()
	defer announce(whole, log)()
	return serve(ctx, part, f.http.drain, log)
}

// server is a part that serves HTTP.
type server interface {
	Ready() <-chan struct{}
	URL() string
}

// announce logs where s serves once it does, unless it is stopped before.
func announce(s server, log *slog.Logger) (stop func()) {
	return once(s.Ready(), func() { log.Info("serving", "url", s.URL()) })
}

// once calls f when ready is closed, unless it is stopped before. stop waits
// for f.
func once(ready <-chan struct{}, f func()) (stop func()) {
	stopped, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-ready:
			f()
		case <-stopped:
		}
	}()
	return func() {
		close(stopped)
		<-done
	}
}

// primeServer is the form of prime_server's own daemon, with its defaults: one
// worker a stage, no timeout, a log line for each answer, health at a path of
// the caller's.
//
//	LISTEN [WORKERS [DRAIN_SECONDS[,SHUTDOWN_SECONDS] [HEALTH_PATH]]]
func (a *App) primeServer(cmd *cobra.Command, args []string, f demoFlags, log *slog.Logger, stdout io.Writer) error {
	if len(args) > 4 {
		return usagef("%d arguments are too many: want LISTEN [WORKERS [DRAIN_SECONDS [HEALTH_PATH]]]", len(args))
	}
	if err := notTwice(cmd.Flags(), "listen"); err != nil {
		return err
	}
	f.listen = args[0]
	if len(args) > 1 {
		if err := notTwice(cmd.Flags(), "workers"); err != nil {
			return err
		}
	}
	if !cmd.Flags().Changed("workers") {
		f.workers = 1
	}
	f.http.primeDefaults(cmd.Flags())
	var err error
	if len(args) > 1 {
		if f.workers, err = parseWorkers(args[1]); err != nil {
			return err
		}
	}
	if len(args) > 2 {
		if f.http.drain, err = drainSeconds(args[2]); err != nil {
			return err
		}
	}
	if len(args) > 3 {
		f.http.ready = args[3]
	}
	return a.demo(cmd.Context(), f, log, stdout)
}

// notTwice refuses flags for what the arguments say already.
func notTwice(given *pflag.FlagSet, flags ...string) error {
	for _, flag := range flags {
		if given.Changed(flag) {
			return usagef("--%s says what an argument says: give one of them", flag)
		}
	}
	return nil
}

// primeDefaults sets what prime_server does by default and we do not, but for
// flags that were given beside its form.
func (f *httpFlags) primeDefaults(given *pflag.FlagSet) {
	for flag, set := range map[string]func(){
		"timeout":    func() { f.timeout = 0 },
		"live":       func() { f.live = "" },
		"ready":      func() { f.ready = "" },
		"access-log": func() { f.accessLog = "-" },
	} {
		if !given.Changed(flag) {
			set()
		}
	}
}

// drainSeconds reads prime_server's DRAIN[,SHUTDOWN], in seconds. The second
// is how long it waits after draining; we leave as soon as we are idle.
func drainSeconds(s string) (time.Duration, error) {
	drain, shutdown, both := strings.Cut(s, ",")
	if !both {
		shutdown = "1"
	}
	d, err1 := strconv.ParseUint(drain, 10, 31)
	g, err2 := strconv.ParseUint(shutdown, 10, 31)
	if err1 != nil || err2 != nil {
		return 0, usagef("%q is no time to drain: want SECONDS or SECONDS,SECONDS", s)
	}
	return time.Duration(d+g) * time.Second, nil
}
