package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// upFlags are the flags of a graph that runs as separate processes.
type upFlags struct {
	dir     runDir
	drain   time.Duration
	metrics metricsFlag
}

func (a *App) upCommand(logs *logFlags, stdout, stderr io.Writer) *cobra.Command {
	var f upFlags
	cmd := &cobra.Command{
		Use:   "up FILE...",
		Short: "run a graph file as separate processes on this machine",
		Long: "Run every part of a graph as a process of its own, and start it again when it\n" +
			"ends. SIGINT and SIGTERM stop all: the fronts first, which answer what they took,\n" +
			"then the workers, then the proxies. Endpoints that the graph leaves out are sockets\n" +
			"in the run directory.",
		Example: "  " + a.Name + " up examples/primes/primes.yaml",
		Args:    wantFiles,
		RunE: func(cmd *cobra.Command, files []string) error {
			log, err := logs.logger(stderr)
			if err != nil {
				return err
			}
			if f.drain < 0 {
				return usagef("--drain %v is negative", f.drain)
			}
			g, err := a.loadGraph(files, log, false)
			if err != nil {
				return err
			}
			if g, err = f.metrics.of(g); err != nil {
				return err
			}
			defer f.dir.remove()
			if err := f.dir.use(g); err != nil {
				return err
			}
			b := builder{app: a, logs: logs, log: log, stdout: stdout, stderr: stderr}
			return f.run(cmd.Context(), g, files, &b)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.dir.path, "run-dir", "", "`directory` for the sockets of endpoints that the graph leaves out; one is made and removed without it")
	flags.DurationVar(&f.drain, "drain", 0, "how long stopping may take; 0: as long as the graph's slowest front and all others behind it")
	flags.StringVar(&f.metrics.address, "metrics", "", "`address` where the first part serves metrics, in place of the graph's; the others take the ports behind it; or off")
	return cmd
}

// afterFronts is how long workers and proxies have to end once the fronts have.
const afterFronts = 10 * time.Second

func (f *upFlags) run(ctx context.Context, g *graph.Graph, files []string, b *builder) error {
	s, err := b.service(g, f.dir.path, nil)
	if err != nil {
		return err
	}
	if _, err := group(s, g.AllRoles(), 0); err != nil { // each role would say so
		return err
	}
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	all, err := f.programs(g, files, b, func(role graph.Role, err error) {
		b.log.Error("given up", "role", role.String(), "err", err)
		giveUp(&lostRoleError{err})
	})
	if err != nil {
		return err
	}
	drain := f.drain
	if drain == 0 {
		drain = time.Duration(float64(cluster.Drain(g, defaultDrain)+afterFronts) / graceShare)
	}
	b.log.Info("starting", "processes", len(g.AllRoles()), "run_dir", f.dir.path)
	if err := serve(ctx, all, drain, b.log); err != nil {
		return err
	}
	var lost *lostRoleError
	if errors.As(context.Cause(ctx), &lost) {
		return lost
	}
	return nil
}

// programs are the graph's roles as processes of this program. lost hears of
// one that is not worth another try.
func (f *upFlags) programs(g *graph.Graph, files []string, b *builder, lost func(graph.Role, error)) (cluster.Part, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("up: %w", err)
	}
	output := roleOutputs(b.stdout, g.AllRoles())
	var ranks [][]cluster.Part
	for _, rank := range cluster.StopOrder(g, g.AllRoles()) {
		var parts []cluster.Part
		for _, role := range rank {
			command := []string{program, "run", "--supervised", "--role", role.String(), "--log-level", b.logs.level, "--log-format", b.logs.format}
			if f.dir.path != "" {
				command = append(command, "--run-dir", f.dir.path)
			}
			if at := g.MetricsAt(role); at != "" || f.metrics.address != "" {
				command = append(command, "--metrics", cmp.Or(at, noMetrics))
			}
			p, err := cluster.NewProgram(cluster.ProgramConfig{
				Name:    role.String(),
				Command: append(append(command, "--"), files...),
				Output:  output(role),
				Grace:   cluster.Drain(g, defaultDrain) + 2*leastStop, // it keeps to the former itself
				Final:   func(code int) bool { return code == exitUnusable },
				Logger:  b.log,
			})
			if err != nil {
				return nil, err
			}
			parts = append(parts, dutiful{p, func(err error) { lost(role, err) }})
		}
		ranks = append(ranks, parts)
	}
	return cluster.NewGroup(ranks...), nil
}

// dutiful is a part whose end by an error is told, and does not end the others
// by itself: they are stopped in order.
type dutiful struct {
	cluster.Part
	lost func(error)
}

// Run implements cluster.Part.
func (d dutiful) Run(ctx context.Context) error {
	if err := d.Part.Run(ctx); err != nil {
		d.lost(err)
	}
	return nil
}

// lostRoleError says why all roles were stopped.
type lostRoleError struct{ error }

func (e *lostRoleError) Unwrap() error { return e.error }

// roleOutputs returns makers of writers that put the role before each line,
// aligned, and in colour on a terminal.
func roleOutputs(w io.Writer, roles []graph.Role) func(graph.Role) io.Writer {
	width := 0
	for _, r := range roles {
		width = max(width, len(r.String()))
	}
	colored := isTerminal(w)
	prefix := cluster.Prefixes(w)
	n := 0
	return func(r graph.Role) io.Writer {
		label := r.String() + strings.Repeat(" ", width-len(r.String())) + " | "
		if colored {
			label = fmt.Sprintf("\x1b[%dm%s\x1b[0m", colors[n%len(colors)], label)
			n++
		}
		return prefix(label)
	}
}

// colors tell roles apart: the foreground colours that are legible on light and
// dark.
var colors = []int{36, 33, 32, 35, 34, 31}

// isTerminal reports whether w is a terminal that wants colours.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(f.Fd()))
}

// outputs returns makers of writers for worker programs.
func outputs(w io.Writer) func(process string) io.Writer {
	prefix := cluster.Prefixes(w)
	return func(process string) io.Writer { return prefix(process + " | ") }
}
