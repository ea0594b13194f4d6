package daemon

import (
	"context"
	"io"
	"log/slog"
	"slices"

	"github.com/spf13/cobra"

	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// runFlags are the flags of a graph that runs in this process.
type runFlags struct {
	roles  roleFlag
	inproc bool
	count  int
	dir    runDir
}

func (a *App) runCommand(logs *logFlags, stdout, stderr io.Writer) *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run FILE...",
		Short: "run a graph file, or parts of it, in this process",
		Long: "Run the service that a graph describes, in this process: all of it, or with --role\n" +
			"parts of it, each part as many processes want to have it.\n\n" +
			"A graph without endpoints and without worker programs passes jobs from hand to\n" +
			"hand. Otherwise its parts talk over ZeroMQ; endpoints that it leaves out are\n" +
			"sockets in the run directory.",
		Example: "  " + a.Name + " run examples/primes/primes.yaml\n" +
			"  " + a.Name + " run service.yaml --role proxy:parse --role workers:parse",
		Args: wantFiles,
		RunE: func(cmd *cobra.Command, files []string) error {
			log, err := logs.logger(stderr)
			if err != nil {
				return err
			}
			if f.count < 0 || f.count > maxWorkers {
				return usagef("--count %d: want 1 to %d", f.count, maxWorkers)
			}
			g, err := a.loadGraph(files, log)
			if err != nil {
				return err
			}
			defer f.dir.remove()
			part, err := a.part(g, &f, logs, log, stdout, stderr)
			if err != nil {
				return err
			}
			return f.serve(cmd.Context(), part, g, log)
		},
	}
	flags := cmd.Flags()
	f.roles.add(flags, "run this part alone")
	flags.BoolVar(&f.inproc, "inproc", false, "ignore the graph's endpoints: everything is in this process")
	flags.IntVar(&f.count, "count", 0, "workers of each workers role, instead of the graph's")
	flags.StringVar(&f.dir.path, "run-dir", "", "`directory` for the sockets of endpoints that the graph leaves out, the same for all its processes")
	return cmd
}

// part makes what the flags ask for.
func (a *App) part(g *graph.Graph, f *runFlags, logs *logFlags, log *slog.Logger, stdout, stderr io.Writer) (cluster.Part, error) {
	if len(f.roles) > 0 {
		return a.roleParts(g, f, logs, log, stdout, stderr)
	}
	if f.count > 0 {
		return nil, usagef("--count goes with --role workers:STAGE")
	}
	if f.inproc {
		g = withoutEndpoints(g)
	}
	local := !networked(g)
	if !local {
		if err := f.dir.use(); err != nil {
			return nil, err
		}
	}
	s, err := a.service(g, f.dir.path, logs, log, stdout, stderr)
	if err != nil {
		return nil, err
	}
	if local {
		return s.Local()
	}
	return s.Parts()
}

// roleParts makes the parts that were named.
func (a *App) roleParts(g *graph.Graph, f *runFlags, logs *logFlags, log *slog.Logger, stdout, stderr io.Writer) (cluster.Part, error) {
	if f.inproc {
		return nil, usagef("--inproc is for a whole graph: parts talk over endpoints")
	}
	if f.dir.path != "" {
		if err := f.dir.use(); err != nil {
			return nil, err
		}
	} else if problems := g.CheckRoles(f.roles...); len(problems) > 0 {
		return nil, usageError{&graph.Invalid{Problems: problems}}
	}
	s, err := a.service(g, f.dir.path, logs, log, stdout, stderr)
	if err != nil {
		return nil, err
	}
	var ranks [3][]cluster.Part
	for _, role := range f.roles {
		p, err := s.Part(role, f.count)
		if err != nil {
			return nil, usageError{err}
		}
		rank := slices.Index(stopOrder, role.Kind)
		ranks[rank] = append(ranks[rank], p)
	}
	return cluster.NewGroup(ranks[:]...), nil
}

// stopOrder is the order in which a graph's parts are stopped.
var stopOrder = []graph.RoleKind{graph.RoleFront, graph.RoleWorkers, graph.RoleProxy}

// serve runs the part, on as many threads as are good for it.
func (f *runFlags) serve(ctx context.Context, part cluster.Part, g *graph.Graph, log *slog.Logger) error {
	defer f.adapt(part)()
	return serve(ctx, part, cluster.Drain(g, defaultDrain), log)
}

// adapt sees to the threads of this process while the part runs.
func (f *runFlags) adapt(part cluster.Part) (stop func()) {
	if whole, ok := part.(*cluster.LocalGraph); ok {
		return adaptProcess(whole.Stats)
	}
	if len(f.roles) != 1 {
		return func() {}
	}
	if f.roles[0].Kind == graph.RoleProxy {
		oneCore()
	}
	for _, w := range part.(*cluster.Group).All() {
		if w, ok := w.(*pipeline.Worker); ok {
			return adaptWorker(w)
		}
	}
	return func() {}
}

// networked reports whether parts of g have to talk over sockets.
func networked(g *graph.Graph) bool {
	return slices.ContainsFunc(g.Stages, func(s graph.Stage) bool {
		return s.Worker == "" || !s.Upstream.IsZero() || !s.Downstream.IsZero()
	}) || slices.ContainsFunc(g.Fronts, func(f graph.Front) bool {
		return !f.Loopback.IsZero() || !f.Interrupt.IsZero()
	})
}

// withoutEndpoints returns g as if its file named none, but for stages whose
// workers are started elsewhere: those have to be found.
func withoutEndpoints(g *graph.Graph) *graph.Graph {
	c := *g
	outside := false
	c.Stages = slices.Clone(g.Stages)
	for i := range c.Stages {
		s := &c.Stages[i]
		if s.Worker == "" && len(s.Command) == 0 {
			outside = true
			continue
		}
		s.Upstream, s.Downstream = graph.Endpoint{}, graph.Endpoint{}
	}
	if outside {
		return &c
	}
	c.Fronts = slices.Clone(g.Fronts)
	for i := range c.Fronts {
		c.Fronts[i].Loopback, c.Fronts[i].Interrupt = graph.Endpoint{}, graph.Endpoint{}
	}
	return &c
}
