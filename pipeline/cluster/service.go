package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/butterfly-zmq/butterfly/httpfront"
	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// ServiceConfig says how the parts of a graph are made.
type ServiceConfig struct {
	// Graph is what runs. It was loaded without problems.
	Graph *graph.Graph
	// Workers are the Go workers by the names that the graph's stages use.
	Workers map[string]pipeline.Handler
	// RunDir is a directory for the sockets of endpoints that the graph leaves
	// out; "": there must be none, but for Local.
	RunDir string
	// Slots is the number of jobs that Go workers with connections do at a time
	// where the graph does not say it; 0: one per core. While an outcome and
	// the next job travel, a slot more keeps the core busy.
	Slots int
	// AccessLog opens a front's access log when the front is made; nil: there
	// is none. It is the caller's to close once the front has ended.
	AccessLog func(*graph.Front) (io.Writer, error)
	// Grace is how long a worker program may take to end when it is told to;
	// 0: ten seconds.
	Grace time.Duration
	// Output returns the writer for the lines of one process of a worker
	// program; nil: they are dropped.
	Output func(process string) io.Writer
	// Metrics of this process; nil: nothing is measured.
	Metrics *Metrics
	// LogLevel is passed on to worker programs.
	LogLevel string
	// Logger gets what is wrong; nil: nothing.
	Logger *slog.Logger
	// Transport bounds the connections; its zero value has the defaults.
	Transport transport.Options
}

// Service makes the parts of a graph: each alone, for a process of its own, or
// all together.
type Service struct {
	cfg   ServiceConfig
	graph *graph.Graph // with all endpoints
}

// NewService returns a Service and acquires nothing.
func NewService(cfg ServiceConfig) (*Service, error) {
	if cfg.Graph == nil {
		return nil, fmt.Errorf("cluster: a service needs a graph")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	g, err := complete(cfg.Graph, cfg.RunDir)
	if err != nil {
		return nil, err
	}
	return &Service{cfg: cfg, graph: g}, nil
}

// complete returns g with the endpoints that it leaves out as sockets in dir; ""
// leaves them out.
func complete(g *graph.Graph, dir string) (*graph.Graph, error) {
	if dir == "" {
		return g, nil
	}
	var wrong error
	made := func(e graph.Endpoint, name string) graph.Endpoint {
		if !e.IsZero() {
			return e
		}
		socket := "ipc://" + filepath.Join(dir, name)
		err := CheckEndpoint(socket)
		if err == nil && strings.Contains(socket, ",") {
			err = errors.New("commas separate endpoints")
		}
		if err != nil && wrong == nil {
			wrong = fmt.Errorf("cluster: the run directory %s does not do for the socket %s: %w", dir, name, err)
		}
		return graph.Endpoint{Bind: socket, Connect: socket}
	}
	c := *g
	c.Fronts = slices.Clone(g.Fronts)
	for i := range c.Fronts {
		f := &c.Fronts[i]
		f.Loopback = made(f.Loopback, f.Name+".loop")
		f.Interrupt = made(f.Interrupt, f.Name+".int")
	}
	c.Stages = slices.Clone(g.Stages)
	for i := range c.Stages {
		s := &c.Stages[i]
		pairs := s.Pairs()
		for n := range pairs {
			number := ""
			if len(pairs) > 1 {
				number = fmt.Sprintf(".%d", n+1)
			}
			pairs[n].Upstream = made(pairs[n].Upstream, s.Name+".up"+number)
			pairs[n].Downstream = made(pairs[n].Downstream, s.Name+".down"+number)
		}
		*s = s.WithPairs(pairs)
	}
	return &c, wrong
}

// Front makes the front of a name as a part of its own.
func (s *Service) Front(name string) (*Front, error) {
	f, ok := s.graph.Front(name)
	if !ok {
		return nil, fmt.Errorf("cluster: the graph has no front %q", name)
	}
	if err := s.bodiesTravel(f); err != nil {
		return nil, err
	}
	http, err := s.http(f)
	if err != nil {
		return nil, err
	}
	cfg := FrontConfig{
		HTTP:      http,
		Table:     s.table(f),
		Loopback:  f.Loopback.Bind,
		Interrupt: f.Interrupt.Bind,
		Transport: s.cfg.Transport,
		MTLS:      s.mtls(graph.RoleFront, f.Name),
		Metrics:   s.cfg.Metrics,
		Logger:    s.cfg.Logger.With("front", f.Name),
	}
	var stages []stageAt
	for _, st := range reachable(s.graph) {
		stages = append(stages, stageAt{st.Name, st.Upstreams(), st.Compat != ""})
	}
	return newFront(cfg, f.Name, stages, func(front *Front, http *httpfront.Config) {
		front.link(func(from, to *remoteStage) bool { return slices.Contains(behind(s.graph, from.name), to.name) })
		http.Route = newRouting(s.graph, func(name string) destination {
			for _, r := range front.stages {
				if r.name == name {
					return destination{r, s.compat(name, r.Prime), front.answers.of(s.cfg.Metrics, name)}
				}
			}
			panic("cluster: a route to a stage that is not reachable") // the graph was checked
		}).choose
	})
}

// bodiesTravel refuses bodies that are kept in memory and too large for a message.
func (s *Service) bodiesTravel(f *graph.Front) error {
	for i := range s.graph.Routes {
		r := &s.graph.Routes[i]
		most, what := f.MaxBody, fmt.Sprintf("max_body of front %q", f.Name)
		if r.MaxBody > 0 {
			most, what = r.MaxBody, fmt.Sprintf("max_body of routes[%d]", i)
		}
		if r.SpoolAbove > 0 {
			most, what = r.SpoolAbove, fmt.Sprintf("spool_above of routes[%d]", i)
		}
		if most > MaxRemoteBody {
			return fmt.Errorf("cluster: %s is %d bytes: at most %d travel to another process", what, most, MaxRemoteBody)
		}
	}
	return nil
}

// spools returns the directories in which workers find bodies.
func (s *Service) spools() (dirs []string) {
	for _, f := range s.graph.Fronts {
		if f.Spool.Dir != "" && !slices.Contains(dirs, f.Spool.Dir) {
			dirs = append(dirs, f.Spool.Dir)
		}
	}
	return dirs
}

// compat returns what says whether prime_server's workers may serve a stage:
// always where the graph says so, and otherwise what has been seen.
func (s *Service) compat(name string, seen func() bool) func() bool {
	if st, _ := s.graph.Stage(name); st.Compat == graph.CompatPrimeServer {
		return func() bool { return true }
	}
	return seen
}

// defaultDrain is the drain_timeout of a front that has none.
const defaultDrain = 28 * time.Second

// http is the configuration of a front's server.
func (s *Service) http(f *graph.Front) (httpfront.Config, error) {
	c := httpfront.Config{
		Listen:         f.Listen,
		LivePath:       f.Live,
		ReadyPath:      f.Ready,
		Timeout:        f.Timeout,
		HeaderTimeout:  f.HeaderTimeout,
		BodyTimeout:    f.BodyTimeout,
		IdleTimeout:    f.IdleTimeout,
		WriteTimeout:   f.WriteTimeout,
		StreamIdle:     f.StreamIdle,
		HalfCloseGrace: f.HalfCloseGrace,
		MaxHeaderBytes: int(f.MaxHeader),
		MaxTarget:      f.MaxTarget,
		MaxBody:        int(f.MaxBody),
		MaxConns:       f.MaxConns,
		Spool:          httpfront.Spool{Dir: f.Spool.Dir, MaxBytes: int64(f.Spool.MaxBytes)},
		MaxReceiving:   int64(f.MaxPendingBytes),
		MaxUnsent:      int64(f.MaxPendingBytes),
		Logger:         s.cfg.Logger.With("front", f.Name),

		MaxConnsPerClient:  f.MaxConnsPerClient,
		MaxRequestsPerConn: f.MaxRequestsPerConn,
		DrainDelay:         f.DrainDelay,
		ClientHeader:       f.ClientHeader,
	}
	if err := edge(&c, f, s.graph.Routes); err != nil {
		return c, err
	}
	if drain := cmp.Or(f.DrainTimeout, defaultDrain); f.DrainDelay >= drain*3/4 {
		return c, fmt.Errorf("cluster: drain_delay of front %q, %v, leaves no time to finish: want less than three quarters of drain_timeout, which is %v", f.Name, f.DrainDelay, drain)
	}
	if s.cfg.AccessLog != nil {
		log, err := s.cfg.AccessLog(f)
		if err != nil {
			return c, err
		}
		c.AccessLog = log
	}
	return c, nil
}

// table bounds a front's open requests. Fronts bear their names only where
// there are several: C++ workers of one front need none.
func (s *Service) table(f *graph.Front) loopback.TableConfig {
	c := loopback.TableConfig{MaxPending: f.MaxPending, MaxPendingBytes: int64(f.MaxPendingBytes), StreamWindow: int64(f.StreamWindow), ProxyGrace: f.ProxyGrace}
	if len(s.graph.Fronts) > 1 {
		c.FrontName = f.Name
	}
	return c
}

// Proxy makes a proxy of a stage as a part of its own: which of several its number
// says, from 1, and 0 or 1 is the only one.
func (s *Service) Proxy(stage string, number int) (*Proxy, error) {
	st, ok := s.graph.Stage(stage)
	if !ok {
		return nil, fmt.Errorf("cluster: the graph has no stage %q", stage)
	}
	pairs := st.Pairs()
	if number > len(pairs) || number < 1 && len(pairs) > 1 {
		return nil, fmt.Errorf("cluster: stage %q has %d proxies, and none of number %d", stage, len(pairs), number)
	}
	at := pairs[max(1, number)-1]
	fronts, interrupts := s.fronts()
	return NewProxy(ProxyConfig{
		Stage:         st.Name,
		Number:        number,
		Stages:        s.stageNames(),
		MaxHops:       s.graph.Limits.MaxHops,
		MaxVisits:     st.MaxVisits,
		Upstream:      at.Upstream.Bind,
		Downstream:    at.Downstream.Bind,
		Fronts:        fronts,
		Interrupts:    interrupts,
		Weights:       s.weights(),
		MaxQueue:      st.MaxQueue,
		MaxQueueBytes: int64(st.MaxQueueBytes),
		MaxForwarded:  st.MaxForwarded, MaxForwardedBytes: int64(st.MaxForwardedBytes),
		Admission:  admissions[st.Admission],
		NoWorkers:  noWorkers[st.NoWorkers],
		Timeout:    st.Timeout,
		Repeat:     stageRepeats[st.Repeat],
		Attempts:   st.Attempts,
		FrontGrace: s.graph.Limits.FrontGrace,
		Transport:  s.cfg.Transport,
		MTLS:       s.mtls(graph.RoleProxy, st.Name),
		Metrics:    s.cfg.Metrics,
		Logger:     s.cfg.Logger,
	})
}

// mtls returns who a part is at tls+tcp endpoints; nil: nobody needs to know.
func (s *Service) mtls(kind graph.RoleKind, name string) *MTLS {
	id := s.graph.Identity(graph.Role{Kind: kind, Name: name})
	if id == nil {
		return nil
	}
	return &MTLS{CA: id.CA, Cert: id.Cert, Key: id.Key, Peers: id.Peers}
}

var stageRepeats = map[graph.Repeat]Repeat{
	graph.RepeatSafe:   RepeatSafe,
	graph.RepeatAlways: RepeatAlways,
	graph.RepeatNever:  RepeatNever,
}

var admissions = map[graph.Admission]Admission{
	"":                  AdmitDeadline,
	graph.AdmitQueue:    AdmitQueue,
	graph.AdmitDeadline: AdmitDeadline,
}

var noWorkers = map[graph.NoWorkers]NoWorkers{
	graph.NoWorkersWait:   NoWorkersWait,
	graph.NoWorkersRefuse: NoWorkersRefuse,
}

func (s *Service) stageNames() []string {
	names := make([]string, 0, len(s.graph.Stages))
	for _, st := range s.graph.Stages {
		names = append(names, st.Name)
	}
	return names
}

// weights are those of the graph's priority classes.
func (s *Service) weights() []int {
	var weights []int
	for _, p := range s.graph.Priorities {
		weights = append(weights, p.Weight)
	}
	return weights
}

// fronts returns where the fronts are, for proxies and workers.
func (s *Service) fronts() (fronts []loopback.FrontEndpoint, interrupts []string) {
	for _, f := range s.graph.Fronts {
		fronts = append(fronts, loopback.FrontEndpoint{Name: f.Name, Endpoint: f.Loopback.Connect})
		interrupts = append(interrupts, f.Interrupt.Connect)
	}
	return fronts, interrupts
}

// Workers makes the workers of a stage as a part of its own: Go workers or
// worker programs. count overrides the graph's; 0 does not.
func (s *Service) Workers(stage string, count int) (Part, error) {
	st, ok := s.graph.Stage(stage)
	if !ok {
		return nil, fmt.Errorf("cluster: the graph has no stage %q", stage)
	}
	count = cmp.Or(count, st.Count)
	next := make(map[string]string, len(st.Next))
	for _, name := range st.Next {
		to, _ := s.graph.Stage(name)
		next[name] = to.Upstreams()
	}
	fronts, interrupts := s.fronts()
	switch {
	case len(st.Command) > 0:
		return NewPrograms(ProgramsConfig{
			Stage: st.Name, Command: st.Command, Env: st.Env, Count: count,
			Upstream: st.Downstreams(), Next: next, Fronts: fronts, Interrupts: interrupts, Spool: s.spools(),
			MaxAge: st.MaxAge, Status: statusOf(st), Transport: s.cfg.Transport, MTLS: s.programsMTLS(st),
			Grace: s.cfg.Grace, LogLevel: s.cfg.LogLevel, Output: s.cfg.Output, Metrics: s.cfg.Metrics, Logger: s.cfg.Logger,
		})
	case st.Worker != "":
		handler, ok := s.cfg.Workers[st.Worker]
		if !ok {
			return nil, fmt.Errorf("cluster: stage %q wants worker %q, which this program does not have", stage, st.Worker)
		}
		w, err := pipeline.NewWorker(pipeline.WorkerConfig{
			Stage: st.Name, Handler: handler, Slots: cmp.Or(count, s.cfg.Slots),
			Timeout: st.Timeout, MaxHung: st.MaxHung, FrontGrace: s.graph.Limits.FrontGrace,
			Upstream: st.Downstreams(), Next: next, Fronts: fronts, Interrupts: interrupts, Spool: s.spools(),
			Transport: s.cfg.Transport, MTLS: s.mtls(graph.RoleWorkers, st.Name), Logger: s.cfg.Logger,
		})
		if err != nil {
			return nil, err
		}
		return w, s.cfg.Metrics.Workers(st.Name, w)
	}
	return nil, fmt.Errorf("cluster: the workers of stage %q are not started by us: the graph names neither worker nor command", stage)
}

// programsMTLS is mtls for who watches a stage's worker programs.
func (s *Service) programsMTLS(st *graph.Stage) *MTLS {
	if !IsTLS(statusOf(st)) {
		return nil
	}
	return s.mtls(graph.RoleWorkers, st.Name)
}

// statusOf returns where it is told which worker programs of a stage hang, if
// they can.
func statusOf(st *graph.Stage) string {
	if st.Timeout == 0 {
		return ""
	}
	return st.Upstreams()
}
