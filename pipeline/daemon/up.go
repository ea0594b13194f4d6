package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// upFlags are the flags of a graph that runs as separate processes.
type upFlags struct {
	dir   runDir
	drain time.Duration
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
			g, err := a.loadGraph(files, log)
			if err != nil {
				return err
			}
			if err := f.dir.use(); err != nil {
				return err
			}
			defer f.dir.remove()
			return f.run(cmd.Context(), g, files, logs, log, stdout)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.dir.path, "run-dir", "", "`directory` for the sockets of endpoints that the graph leaves out; one is made and removed without it")
	flags.DurationVar(&f.drain, "drain", 0, "how long stopping may take; 0: as long as the graph's slowest front and all others behind it")
	return cmd
}

// afterFronts is how long workers and proxies have to end once the fronts have.
const afterFronts = 10 * time.Second

func (f *upFlags) run(ctx context.Context, g *graph.Graph, files []string, logs *logFlags, log *slog.Logger, stdout io.Writer) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("up: %w", err)
	}
	grace := cluster.Drain(g, defaultDrain)
	roles := g.AllRoles()
	output := roleOutputs(stdout, roles)
	var ranks [3][]cluster.Part
	for _, role := range roles {
		command := append([]string{program, "run", "--role", role.String(), "--run-dir", f.dir.path, "--log-level", logs.level, "--log-format", logs.format, "--"}, files...)
		p, err := cluster.NewProgram(cluster.ProgramConfig{
			Name:    role.String(),
			Command: command,
			Output:  output(role),
			Grace:   grace,
			Final:   func(code int) bool { return code == exitUsage },
			Logger:  log,
		})
		if err != nil {
			return err
		}
		rank := slices.Index(stopOrder, role.Kind)
		ranks[rank] = append(ranks[rank], p)
	}
	drain := f.drain
	if drain == 0 {
		drain = time.Duration(float64(grace+afterFronts) / graceShare)
	}
	log.Info("starting", "processes", len(roles), "run_dir", f.dir.path)
	return serve(ctx, cluster.NewGroup(ranks[:]...), drain, log)
}

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
