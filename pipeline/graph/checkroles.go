package graph

import (
	"fmt"
	"slices"
	"strings"
)

// CheckRoles returns what keeps one process from being these parts of the
// graph, while the others run elsewhere: parts that the graph does not have,
// and endpoints that are absent though the process has to meet another there.
func (g *Graph) CheckRoles(roles ...Role) []Problem {
	var problems []Problem
	here := make(map[Role]bool, len(roles))
	for _, r := range roles {
		own, p := g.findRole(r)
		if p != nil {
			problems = append(problems, *p)
			continue
		}
		for _, each := range g.Each(own) {
			here[each] = true
		}
	}
	said := make(map[string]bool)
	for _, m := range g.meetings() {
		in := slices.IndexFunc(m.parts, func(r Role) bool { return here[r] })
		out := slices.IndexFunc(m.parts, func(r Role) bool { return !here[r] })
		if in < 0 || out < 0 || !m.endpoint.IsZero() {
			continue
		}
		key := m.rest[1:]
		if at := m.owner.path + m.rest; !said[at] {
			said[at] = true
		} else {
			continue // of another proxy
		}
		problems = append(problems, m.owner.below(m.at, m.rest,
			fmt.Sprintf("it is missing: %v meets %v there, which runs elsewhere", m.parts[in], m.parts[out]),
			fmt.Sprintf("write %s: tcp://host:port, or ipc:///path", key)))
	}
	return problems
}

// findRole returns the role with the front's name as AllRoles has it.
func (g *Graph) findRole(r Role) (Role, *Problem) {
	wrong := func(at Position, message, hint string) (Role, *Problem) {
		return r, &Problem{Position: at, Message: fmt.Sprintf("role %v: %s", r, message), Hint: hint}
	}
	if r.Kind == RoleFront {
		if f, ok := g.Front(r.Name); ok {
			return Role{Kind: RoleFront, Name: f.Name}, nil
		}
		var all []string
		for _, f := range g.Fronts {
			all = append(all, f.Name)
		}
		switch {
		case r.Name != loneFront:
			return wrong(Position{}, "there is no such front", didYouMean(r.Name, all))
		case len(g.Fronts) != 1:
			return wrong(Position{}, "there are several", "write front:NAME, of "+strings.Join(all, ", "))
		}
		return Role{Kind: RoleFront, Name: all[0]}, nil
	}
	s, ok := g.Stage(r.Name)
	switch {
	case !ok:
		return wrong(Position{}, "there is no such stage", didYouMean(r.Name, newPaths(g).names))
	case r.Kind == RoleWorkers && s.isOutside():
		return wrong(s.Position, "its workers are started elsewhere", "")
	case r.Number > len(s.Pairs()):
		return wrong(s.Position, "the stage has "+proxies(len(s.Pairs())), "")
	}
	return r, nil
}

// meeting is an endpoint with the parts that use it, its owner first.
type meeting struct {
	owner    *origin
	at       Position
	rest     string
	endpoint Endpoint
	parts    []Role
}

// meetings returns all endpoints of the graph: front and proxies bind them, and
//
//   - the loopback and interrupt of each front is used by every proxy and by
//     the workers of every stage that requests get to;
//   - the upstream of a stage by every front and by the workers of the stages
//     before it; its own workers hear there which programs hang, too;
//   - the downstream of a stage by its workers.
func (g *Graph) meetings() []meeting {
	p := newPaths(g)
	var fronts, behind []Role
	for i := range g.Fronts {
		fronts = append(fronts, Role{Kind: RoleFront, Name: g.Fronts[i].Name})
	}
	for i, s := range g.Stages {
		if p.depth[i] > 0 {
			behind = append(append(behind, s.proxyRoles()...), Role{Kind: RoleWorkers, Name: s.Name})
		}
	}
	var all []meeting
	for i := range g.Fronts {
		f := &g.Fronts[i]
		parts := append([]Role{{Kind: RoleFront, Name: f.Name}}, behind...)
		all = append(all,
			meeting{&f.origin, f.Position, ".loopback", f.Loopback, parts},
			meeting{&f.origin, f.Position, ".interrupt", f.Interrupt, parts})
	}
	for i := range g.Stages {
		s := &g.Stages[i]
		workers := Role{Kind: RoleWorkers, Name: s.Name}
		up := slices.Clone(fronts)
		for from, next := range p.next {
			if slices.Contains(next, i) {
				up = append(up, Role{Kind: RoleWorkers, Name: g.Stages[from].Name})
			}
		}
		if s.Timeout > 0 && len(s.Command) > 0 && !slices.Contains(up, workers) {
			up = append(up, workers)
		}
		roles := s.proxyRoles()
		for n, pair := range s.Pairs() {
			all = append(all,
				meeting{&s.origin, s.Position, s.rest(upstreamEnd, n), pair.Upstream, append([]Role{roles[n]}, up...)},
				meeting{&s.origin, s.Position, s.rest(downstreamEnd, n), pair.Downstream, []Role{roles[n], workers}})
		}
	}
	return all
}

// checkOutside warns where workers that are started elsewhere cannot know where
// to connect.
func (c *checker) checkOutside() {
	inside := make(map[Role]bool)
	for _, r := range c.g.AllRoles() {
		inside[r] = true
	}
	missing := make(map[string][]string) // by stage
	for _, m := range c.g.meetings() {
		for _, r := range m.parts {
			at := m.owner.path + m.rest
			if !inside[r] && m.endpoint.IsZero() && !slices.Contains(missing[r.Name], at) {
				missing[r.Name] = append(missing[r.Name], at)
			}
		}
	}
	for i := range c.g.Stages {
		s := &c.g.Stages[i]
		if endpoints := missing[s.Name]; len(endpoints) > 0 && !s.flawed {
			c.warn(s.below(s.Position, "", "its workers are started elsewhere, and cannot know where these are: "+strings.Join(endpoints, ", "),
				"write tcp://host:port or ipc:///path for each"))
		}
	}
}
