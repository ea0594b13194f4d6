package cluster

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// Part makes one part of the graph. count is for workers, as in Workers. A
// part that the graph does not have, or whose endpoints it lacks, is a
// *graph.Invalid.
func (s *Service) Part(role graph.Role, count int) (Part, error) {
	if problems := s.graph.CheckRoles(role); len(problems) > 0 {
		return nil, &graph.Invalid{Problems: problems}
	}
	switch role.Kind {
	case graph.RoleFront:
		f, err := s.Front(s.frontName(role.Name))
		if err != nil {
			return nil, err
		}
		return announced{f, s.cfg.Logger.With("front", s.frontName(role.Name))}, nil
	case graph.RoleProxy:
		if each := s.graph.Each(role); len(each) > 1 {
			return s.Group(each, 0)
		}
		p, err := s.Proxy(role.Name, role.Number)
		if err != nil {
			return nil, err
		}
		return announcedProxy{p, s.cfg.Logger.With("stage", role.Name)}, nil
	}
	w, err := s.Workers(role.Name, count)
	if err != nil {
		return nil, err
	}
	if w, ok := w.(*pipeline.Worker); ok {
		return announcedWorker{w, s.cfg.Logger.With("stage", role.Name)}, nil
	}
	return w, nil
}

// frontName returns the name of the front that a role means: the only one has
// two.
func (s *Service) frontName(role string) string {
	if _, ok := s.graph.Front(role); !ok && len(s.graph.Fronts) == 1 {
		return s.graph.Fronts[0].Name
	}
	return role
}

// Parts returns all parts of the graph as one, connected by its endpoints.
// Workers that somebody else starts are left out.
func (s *Service) Parts() (*Group, error) { return s.Group(s.graph.AllRoles(), 0) }

// Group returns parts of the graph as one, which stops them in StopOrder. count
// is that of each workers role, as in Workers.
func (s *Service) Group(roles []graph.Role, count int) (*Group, error) {
	var each []graph.Role
	for _, r := range roles {
		if r.Kind == graph.RoleFront {
			r.Name = s.frontName(r.Name)
		}
		all := s.graph.Each(r)
		if slices.ContainsFunc(each, func(o graph.Role) bool { return slices.Contains(all, o) }) {
			return nil, fmt.Errorf("cluster: the role %v is there twice", r)
		}
		each = append(each, all...)
	}
	roles = each
	var ranks [][]Part
	for _, rank := range StopOrder(s.graph, roles) {
		var parts []Part
		for _, r := range rank {
			p, err := s.Part(r, count)
			if err != nil {
				return nil, err
			}
			parts = append(parts, p)
		}
		ranks = append(ranks, parts)
	}
	return NewGroup(ranks...), nil
}

// listening is a part that tells when it can be reached.
type listening interface {
	Part
	Ready() <-chan struct{}
}

// announce runs p and calls say once it can be reached.
func announce(ctx context.Context, p listening, say func()) error {
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	select {
	case err := <-done:
		return err
	case <-p.Ready():
		say()
	}
	return <-done
}

// announced logs where a front serves once it does.
type announced struct {
	front interface {
		listening
		URL() string
	}
	log *slog.Logger
}

// Run implements Part.
func (a announced) Run(ctx context.Context) error {
	return announce(ctx, a.front, func() { a.log.Info("serving", "url", a.front.URL()) })
}

// Shutdown implements Part.
func (a announced) Shutdown(ctx context.Context) error { return a.front.Shutdown(ctx) }

// announcedProxy logs where a proxy is once it is there.
type announcedProxy struct {
	*Proxy
	log *slog.Logger
}

// Run implements Part.
func (a announcedProxy) Run(ctx context.Context) error {
	return announce(ctx, a.Proxy, func() {
		up, down := a.Endpoints()
		a.log.Info("serving", "upstream", up, "downstream", down)
	})
}

// announcedWorker logs that workers have begun.
type announcedWorker struct {
	*pipeline.Worker
	log *slog.Logger
}

// Run implements Part.
func (a announcedWorker) Run(ctx context.Context) error {
	a.log.Info("working", "slots", a.Stats().Slots)
	return a.Worker.Run(ctx)
}

// Drain returns how long stopping parts of the graph may take at most: as long
// as the slowest of its fronts says, or standard where it says nothing.
func Drain(g *graph.Graph, standard time.Duration) time.Duration {
	longest := time.Duration(0)
	for _, f := range g.Fronts {
		longest = max(longest, cmp.Or(f.DrainTimeout, standard))
	}
	return cmp.Or(longest, standard)
}
