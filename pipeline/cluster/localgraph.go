package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/butterfly-zmq/butterfly/httpfront"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// LocalGraph is a whole graph in this process: jobs go from hand to hand, and
// endpoints are not used. It is a Part.
type LocalGraph struct {
	tables tables
	stages *Stages
	fronts *Group
	https  []*httpfront.Front
	served []answers // of https
	life   lifetime
}

// Local makes the whole graph for this process. All its workers have to be Go
// workers.
func (s *Service) Local() (*LocalGraph, error) {
	l := &LocalGraph{life: newLifetime()}
	for i := range s.graph.Fronts {
		table, err := loopback.NewTable(s.table(&s.graph.Fronts[i]))
		if err != nil {
			return nil, err
		}
		l.tables = append(l.tables, table)
	}
	stages, err := s.localStages()
	if err != nil {
		return nil, err
	}
	l.stages, err = NewStages(StagesConfig{
		Stages: stages, Tables: l.tables, Weights: s.weights(), MaxHops: s.graph.Limits.MaxHops,
		Spool: s.spools(), Metrics: s.cfg.Metrics, Logger: s.cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	return l, s.localFronts(l)
}

func (s *Service) localStages() ([]Stage, error) {
	var stages []Stage
	for _, st := range s.graph.Stages {
		handler, ok := s.cfg.Workers[st.Worker]
		switch {
		case st.Worker == "":
			return nil, fmt.Errorf("cluster: the workers of stage %q are other programs: it needs endpoints", st.Name)
		case !ok:
			return nil, fmt.Errorf("cluster: stage %q wants worker %q, which this program does not have", st.Name, st.Worker)
		}
		stages = append(stages, Stage{
			Name: st.Name, Handler: handler, Slots: st.Count, Next: st.Next,
			MaxVisits: st.MaxVisits, MaxQueue: st.MaxQueue, MaxQueueBytes: int64(st.MaxQueueBytes),
			Admission: admissions[st.Admission],
			Timeout:   st.Timeout, MaxHung: st.MaxHung,
		})
	}
	return stages, nil
}

func (s *Service) localFronts(l *LocalGraph) error {
	var fronts []Part
	l.served = make([]answers, len(s.graph.Fronts))
	for i := range s.graph.Fronts {
		f := &s.graph.Fronts[i]
		http, err := s.http(f)
		if err != nil {
			return err
		}
		http.Table = l.tables[i]
		served := &l.served[i]
		http.Own = served.of(s.cfg.Metrics, "")
		http.Route = newRouting(s.graph, func(name string) destination {
			return destination{stage: l.stages.Stage(name), served: served.of(s.cfg.Metrics, name)}
		}).choose
		front, err := httpfront.New(http)
		if err != nil {
			return err
		}
		if err := s.cfg.Metrics.front(f.Name, front, l.tables[i], served, nil); err != nil {
			return err
		}
		l.https = append(l.https, front)
		fronts = append(fronts, announced{front, s.cfg.Logger.With("front", f.Name)})
	}
	l.fronts = NewGroup(fronts)
	return nil
}

// Run binds the addresses and serves until Shutdown has ended, or ctx ends,
// which is the hard stop. It joins all that it started. It may run once.
func (l *LocalGraph) Run(ctx context.Context) error {
	defer l.life.begin()()
	serve := func(ctx context.Context) error {
		err := l.fronts.Run(ctx)
		if ctx.Err() != nil {
			return err
		}
		if unfinished := l.stages.Shutdown(ctx); ctx.Err() == nil {
			err = errors.Join(err, unfinished)
		}
		return err
	}
	background := []func(context.Context) error{l.stages.Run}
	for _, t := range l.tables {
		background = append(background, t.Run)
	}
	return around(ctx, serve, nil, background...)
}

// Ready returns channels, one of each front, that are closed once requests are
// accepted.
func (l *LocalGraph) Ready() []<-chan struct{} {
	var ready []<-chan struct{}
	for _, f := range l.https {
		ready = append(ready, f.Ready())
	}
	return ready
}

// Addrs returns the addresses listened on, in the order of the graph's fronts;
// nil before a front is ready.
func (l *LocalGraph) Addrs() []net.Addr {
	var addrs []net.Addr
	for _, f := range l.https {
		addrs = append(addrs, f.Addr())
	}
	return addrs
}

// Shutdown accepts no new requests, answers those accepted, lets the stages
// finish, and waits until Run has returned, or ctx ends. Cancel Run's context
// for the hard stop.
func (l *LocalGraph) Shutdown(ctx context.Context) error {
	if err := l.fronts.Shutdown(ctx); err != nil {
		return err
	}
	return l.life.wait(ctx)
}

// Stats returns the counters of every stage.
func (l *LocalGraph) Stats() []StageStats { return l.stages.Stats() }
