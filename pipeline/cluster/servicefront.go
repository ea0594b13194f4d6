package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/butterfly-zmq/butterfly/httpfront"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

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
