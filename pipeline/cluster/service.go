package cluster

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

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

// spools returns the directories in which workers find bodies.
func (s *Service) spools() (dirs []string) {
	for _, f := range s.graph.Fronts {
		if f.Spool.Dir != "" && !slices.Contains(dirs, f.Spool.Dir) {
			dirs = append(dirs, f.Spool.Dir)
		}
	}
	return dirs
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
