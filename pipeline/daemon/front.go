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

	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
)

// frontFlags are the flags of the front alone.
type frontFlags struct {
	listen, name        string
	proxy               proxies
	loopback, interrupt endpoint
	watch               watched
	proxyGrace          time.Duration
	http                httpFlags
	mtls                mtlsFlags
	network             network
	metrics             metricsFlag
}

func (a *App) frontCommand(logs *logFlags, stdout, stderr io.Writer) *cobra.Command {
	f := frontFlags{listen: defaultListen, proxyGrace: loopback.DefaultProxyGrace, http: defaultHTTP()}
	cmd := &cobra.Command{
		Use:   "front --proxy ENDPOINT --loopback ENDPOINT --interrupt ENDPOINT",
		Short: "the HTTP front alone",
		Long: "The HTTP front alone: it binds the loopback and interrupt endpoints and sends\n" +
			"requests to the upstream endpoint of the first stage's proxy.\n\n" +
			"prime_httpd's form, with its defaults:\n" +
			"  LISTEN PROXY LOOPBACK INTERRUPT [LOG [MAX_BYTES [TIMEOUT_S [DRAIN_S [HEALTH_PATH]]]]]",
		Example: "  " + a.Name + " front --proxy ipc:///tmp/echo.up --loopback ipc:///tmp/front.loop --interrupt ipc:///tmp/front.int",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			log, err := logs.logger(stderr)
			if err != nil {
				return err
			}
			if len(args) > 0 {
				if err := f.positional(cmd, args); err != nil {
					return err
				}
			}
			return f.run(cmd.Context(), a, log, stdout)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", f.listen, "`address` for HTTP, host:port or tcp://*:port")
	flags.Var(&f.proxy, "proxy", "upstream endpoint of the first stage's proxy; of several with commas between, or repeatable")
	flags.Var(&f.loopback, "loopback", "endpoint to bind for answers")
	flags.Var(&f.interrupt, "interrupt", "endpoint to bind for interrupts")
	flags.Var(&f.watch, "watch", "upstream endpoint of another stage's proxy, for readiness and to notice its loss; repeatable, with commas between those of one stage")
	flags.DurationVar(&f.proxyGrace, "proxy-grace", f.proxyGrace, "how long after the loss of a proxy who holds jobs may say so, until the others are repeated or answered 502; negative: they wait for their deadline")
	flags.StringVar(&f.name, "name", "", "name of the front where there are several, at most 28 bytes")
	f.mtls.add(flags)
	f.network.add(flags)
	f.http.add(flags)
	f.metrics.add(flags)
	return cmd
}

// positional reads prime_httpd's arguments, with its defaults.
func (f *frontFlags) positional(cmd *cobra.Command, args []string) (err error) {
	const form = "LISTEN PROXY LOOPBACK INTERRUPT [LOG [MAX_BYTES [TIMEOUT_S [DRAIN_S [HEALTH_PATH]]]]]"
	if len(args) < 4 || len(args) > 9 {
		return usagef("%d arguments: want %s, or flags", len(args), form)
	}
	if err := notTwice(cmd.Flags(), "listen", "proxy", "loopback", "interrupt"); err != nil {
		return err
	}
	f.listen = args[0]
	for i, to := range []pflag.Value{&f.proxy, &f.loopback, &f.interrupt} {
		if err := to.Set(args[1+i]); err != nil {
			return usageError{err}
		}
	}
	f.http.primeDefaults(cmd.Flags())
	read := []func(string) error{
		func(s string) error {
			if strings.EqualFold(s, "false") {
				f.http.accessLog = ""
			}
			return nil
		},
		f.http.maxBody.Set,
		func(s string) error { f.http.timeout, err = seconds(s); return err },
		func(s string) error { f.http.drain, err = drainSeconds(s); return err },
		func(s string) error { f.http.ready = s; return nil },
	}
	for i, s := range args[4:] {
		if err := read[i](s); err != nil {
			return usageError{err}
		}
	}
	return nil
}

// seconds reads a number of seconds; prime_httpd's -1 (and 2^32-1) is no limit.
func seconds(s string) (time.Duration, error) {
	if s == "-1" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, usagef("%q is no number of seconds", s)
	}
	if n == 1<<32-1 {
		return 0, nil
	}
	return time.Duration(n) * time.Second, nil
}

func (f *frontFlags) run(ctx context.Context, a *App, log *slog.Logger, stdout io.Writer) error {
	if err := required("proxy", endpoint(f.proxy.String()), "loopback", f.loopback, "interrupt", f.interrupt); err != nil {
		return err
	}
	if f.http.maxBody > cluster.MaxRemoteBody {
		return usagef("--max-body %v is too much for a proxy: at most %d bytes travel", &f.http.maxBody, cluster.MaxRemoteBody)
	}
	if f.proxyGrace == 0 {
		return usagef("--proxy-grace 0s leaves nobody time to say which jobs it holds")
	}
	mtls, err := f.mtls.config(meet([]string{string(f.loopback), string(f.interrupt)}, kindWorkers, kindProxies),
		meet(f.proxy, kindProxies), meet(f.watch, kindProxies))
	if err != nil {
		return err
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
	table.FrontName, table.ProxyGrace = f.name, f.proxyGrace
	front, err := cluster.NewFront(cluster.FrontConfig{
		HTTP:      http,
		Table:     table,
		Proxy:     f.proxy.String(),
		Watch:     f.watch,
		Admission: f.http.admission.chosen,
		Loopback:  string(f.loopback),
		Interrupt: string(f.interrupt),
		MTLS:      mtls,
		Metrics:   m.metrics,
		Logger:    log,
	})
	if err != nil {
		return usageError{err}
	}
	part, err := m.around(front, log)
	if err != nil {
		return err
	}
	f.network.warn(log, string(f.loopback), string(f.interrupt))
	defer announce(front, log)()
	return serve(ctx, part, f.http.drain, log)
}

// required returns an error that names the first flag without a value, of
// pairs of name and value.
func required(pairs ...any) error {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1].(endpoint) == "" {
			return usagef("--%s is missing", pairs[i])
		}
	}
	return nil
}
