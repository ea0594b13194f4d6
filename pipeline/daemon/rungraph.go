package daemon

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"runtime"
	"slices"

	"github.com/spf13/cobra"

	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// runFlags are the flags of a graph that runs in this process.
type runFlags struct {
	roles      roleFlag
	inproc     bool
	count      int
	dir        runDir
	metrics    metricsFlag
	supervised bool
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
			b := builder{app: a, logs: logs, log: log, stdout: stdout, stderr: stderr}
			err = f.run(cmd.Context(), files, &b)
			if f.supervised && errors.As(err, new(usageError)) {
				return unusableError{usageError{err}}
			}
			return err
		},
	}
	flags := cmd.Flags()
	f.roles.add(flags, "run this part alone")
	flags.BoolVar(&f.inproc, "inproc", false, "ignore the graph's endpoints: everything is in this process")
	flags.IntVar(&f.count, "count", 0, "workers of each workers role, instead of the graph's")
	flags.StringVar(&f.dir.path, "run-dir", "", "`directory` for the sockets of endpoints that the graph leaves out, the same for all its processes")
	f.metrics.add(flags)
	flags.BoolVar(&f.supervised, "supervised", false, "a part that the command up has started: the code for a graph that cannot be used is not that of a crash")
	_ = flags.MarkHidden("supervised") // it is there
	return cmd
}

// run runs what the flags ask for of a graph's files.
func (f *runFlags) run(ctx context.Context, files []string, b *builder) error {
	if err := f.check(); err != nil {
		return err
	}
	g, err := b.app.loadGraph(files, b.log, len(f.roles) > 0)
	if err != nil {
		return err
	}
	if f.metrics.address == "" {
		f.metrics.address = g.MetricsAt(f.roles...)
	}
	m, err := f.metrics.open(b.app)
	if err != nil {
		return err
	}
	b.metrics = m.metrics
	defer f.dir.remove()
	defer b.close()
	part, err := b.part(g, f)
	if err != nil {
		return err
	}
	whole, err := m.around(part, b.log)
	if err != nil {
		return err
	}
	if len(f.roles) > 0 && !f.supervised { // else all warnings have been shown
		network(g.Network).warn(b.log, bound(g, f.roles)...)
	}
	defer f.adapt(part)()
	return serve(ctx, whole, cluster.Drain(g, defaultDrain), b.log)
}

// bound returns the endpoints that parts of a graph bind.
func bound(g *graph.Graph, roles []graph.Role) []string {
	var all []string
	for _, r := range roles {
		if s, ok := g.Stage(r.Name); ok && r.Kind == graph.RoleProxy {
			for n, pair := range s.Pairs() {
				if r.Number == 0 || r.Number == n+1 {
					all = append(all, pair.Upstream.Bind, pair.Downstream.Bind)
				}
			}
		}
		for _, f := range g.Fronts {
			if r.Kind == graph.RoleFront && (f.Name == r.Name || len(g.Fronts) == 1) {
				all = append(all, f.Loopback.Bind, f.Interrupt.Bind)
			}
		}
	}
	return all
}

// check refuses flags that have nothing to do with one another.
func (f *runFlags) check() error {
	switch {
	case f.count < 0 || f.count > maxWorkers:
		return usagef("--count %d: want 1 to %d", f.count, maxWorkers)
	case f.count > 0 && !slices.ContainsFunc(f.roles, func(r graph.Role) bool { return r.Kind == graph.RoleWorkers }):
		return usagef("--count goes with --role workers:STAGE")
	case f.inproc && len(f.roles) > 0:
		return usagef("--inproc is for a whole graph: parts talk over endpoints")
	}
	return nil
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
		if w, ok := w.(counting); ok {
			return adaptWorker(w)
		}
	}
	return func() {}
}

// builder makes the parts of graphs, and holds what they need until they have
// ended.
type builder struct {
	app            *App
	logs           *logFlags
	log            *slog.Logger
	stdout, stderr io.Writer
	metrics        *cluster.Metrics // nil: nothing is measured
	files          []io.Writer      // access logs
}

// close closes the access logs.
func (b *builder) close() {
	for _, f := range b.files {
		closeAccessLog(f, b.stdout)
	}
}

func (b *builder) accessLog(f *graph.Front) (io.Writer, error) {
	w, err := openAccessLog(f.AccessLog, b.stdout)
	b.files = append(b.files, w)
	return w, err
}

// part makes what the flags ask for.
func (b *builder) part(g *graph.Graph, f *runFlags) (cluster.Part, error) {
	if f.inproc {
		g = withoutEndpoints(g)
	}
	if len(f.roles) == 0 && !networked(g) {
		s, err := b.service(g, "", b.accessLog)
		if err != nil {
			return nil, err
		}
		return s.Local()
	}
	roles := f.roles
	if len(roles) == 0 {
		roles = g.AllRoles()
	}
	if len(f.roles) > 0 && f.dir.path == "" {
		if problems := g.CheckRoles(roles...); len(problems) > 0 {
			return nil, usageError{&graph.Invalid{Problems: problems}}
		}
	}
	if err := f.dir.use(g); err != nil {
		return nil, err
	}
	s, err := b.service(g, f.dir.path, b.accessLog)
	if err != nil {
		return nil, err
	}
	return group(s, roles, f.count)
}

// group makes parts of a graph. What keeps it from that is the graph's fault,
// unless it is about a file.
func group(s *cluster.Service, roles []graph.Role, count int) (*cluster.Group, error) {
	parts, err := s.Group(roles, count)
	if err != nil && !errors.As(err, new(*fs.PathError)) {
		err = usageError{err}
	}
	return parts, err
}

// service returns the builder of g's parts.
func (b *builder) service(g *graph.Graph, dir string, accessLog func(*graph.Front) (io.Writer, error)) (*cluster.Service, error) {
	s, err := cluster.NewService(cluster.ServiceConfig{
		Graph:     g,
		Workers:   b.app.Workers,
		RunDir:    dir,
		Slots:     slotsPerCore * runtime.NumCPU(),
		AccessLog: accessLog,
		Grace:     cluster.Drain(g, defaultDrain),
		Output:    outputs(b.stderr),
		Metrics:   b.metrics,
		LogLevel:  b.logs.level,
		Logger:    b.log,
	})
	if err != nil {
		return nil, usageError{err}
	}
	return s, nil
}

// counting is a worker that counts its jobs.
type counting interface{ Stats() pipeline.PoolStats }

// networked reports whether parts of g have to talk over sockets.
func networked(g *graph.Graph) bool {
	return slices.ContainsFunc(g.Stages, func(s graph.Stage) bool {
		return s.Worker == "" || !s.Upstream.IsZero() || !s.Downstream.IsZero()
	}) || slices.ContainsFunc(g.Fronts, func(f graph.Front) bool {
		return !f.Loopback.IsZero() || !f.Interrupt.IsZero()
	})
}

// lacksEndpoints reports whether g leaves endpoints out.
func lacksEndpoints(g *graph.Graph) bool {
	return slices.ContainsFunc(g.Stages, func(s graph.Stage) bool {
		return slices.ContainsFunc(s.Pairs(), func(p graph.Pair) bool { return p.Upstream.IsZero() || p.Downstream.IsZero() })
	}) || slices.ContainsFunc(g.Fronts, func(f graph.Front) bool {
		return f.Loopback.IsZero() || f.Interrupt.IsZero()
	})
}

// withoutEndpoints returns g as if its file named none, but for those that
// workers which are started elsewhere connect to: they were told them.
func withoutEndpoints(g *graph.Graph) *graph.Graph {
	c := *g
	c.Stages = slices.Clone(g.Stages)
	needed := make(map[string]bool) // the upstream of a stage
	outside := false
	for i := range c.Stages {
		if s := &c.Stages[i]; s.Worker == "" && len(s.Command) == 0 {
			outside = true
			for _, next := range s.Next {
				needed[next] = true
			}
		} else {
			*s = without(*s, func(p *graph.Pair) { p.Downstream = graph.Endpoint{} })
		}
	}
	for i := range c.Stages {
		if s := &c.Stages[i]; !needed[s.Name] {
			*s = without(*s, func(p *graph.Pair) { p.Upstream = graph.Endpoint{} })
		}
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

// without returns a stage less what forget takes from each of its proxies.
func without(s graph.Stage, forget func(*graph.Pair)) graph.Stage {
	pairs := s.Pairs()
	for i := range pairs {
		forget(&pairs[i])
	}
	return s.WithPairs(pairs)
}
