package graph

import (
	"fmt"
	"strconv"
	"strings"
)

// Role is a part of a graph that can be a process of its own.
type Role struct {
	Kind RoleKind
	// Name is that of the front or stage. "front" is the front that the file
	// gives no name, or the only one.
	Name string
	// Number says, from 1, which of several proxies of a stage; 0 is the only one,
	// or all of them.
	Number int
}

// RoleKind is a kind of part.
type RoleKind string

// The kinds of parts.
const (
	RoleFront   RoleKind = "front"
	RoleProxy   RoleKind = "proxy"
	RoleWorkers RoleKind = "workers"
)

// String returns the role as ParseRole reads it.
func (r Role) String() string {
	if r.Kind == RoleFront && r.Name == loneFront {
		return string(r.Kind)
	}
	s := string(r.Kind) + ":" + r.Name
	if r.Number > 0 {
		s += "/" + strconv.Itoa(r.Number)
	}
	return s
}

// RoleError says what is wrong with the text of a role.
type RoleError struct {
	Role   string
	Reason string
}

func (e *RoleError) Error() string { return fmt.Sprintf("graph: role %q: %s", e.Role, e.Reason) }

// ParseRole reads front, front:NAME, proxy:STAGE, proxy:STAGE/NUMBER or
// workers:STAGE. Errors are
// *RoleError. Whether a graph has the part is CheckRoles's question.
func ParseRole(s string) (Role, error) {
	kind, name, named := strings.Cut(s, ":")
	r := Role{Kind: RoleKind(kind), Name: name}
	if stage, number, numbered := strings.Cut(name, "/"); numbered && r.Kind == RoleProxy {
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || strconv.Itoa(n) != number {
			return Role{}, &RoleError{s, "want the number of a proxy behind the slash, from 1"}
		}
		r.Name, r.Number, name = stage, n, stage
	}
	switch {
	case r.Kind != RoleFront && r.Kind != RoleProxy && r.Kind != RoleWorkers:
		return Role{}, &RoleError{s, "want front, front:NAME, proxy:STAGE or workers:STAGE"}
	case r.Kind == RoleFront && !named:
		return Role{Kind: r.Kind, Name: loneFront}, nil
	case named && name == "":
		return Role{}, &RoleError{s, "no name behind the colon"}
	case name == "":
		return Role{}, &RoleError{s, fmt.Sprintf("want a stage's name: %s:STAGE", kind)}
	default:
		return r, nil
	}
}

// AllRoles returns the parts of the graph, in its order: fronts, then each proxy
// and the workers of each stage. Workers that are started elsewhere are no part.
func (g *Graph) AllRoles() []Role {
	var roles []Role
	for i := range g.Fronts {
		roles = append(roles, Role{Kind: RoleFront, Name: g.Fronts[i].Name})
	}
	for i := range g.Stages {
		s := &g.Stages[i]
		roles = append(roles, s.proxyRoles()...)
		if !s.isOutside() {
			roles = append(roles, Role{Kind: RoleWorkers, Name: s.Name})
		}
	}
	return roles
}

// proxyRoles returns the roles of the stage's proxies, with numbers if there are
// several.
func (s *Stage) proxyRoles() []Role {
	n := len(s.Pairs())
	if n == 1 {
		return []Role{{Kind: RoleProxy, Name: s.Name}}
	}
	roles := make([]Role, n)
	for i := range roles {
		roles[i] = Role{Kind: RoleProxy, Name: s.Name, Number: i + 1}
	}
	return roles
}

// Each returns the roles that a role stands for: proxy:STAGE is all proxies of the
// stage, as AllRoles has them, and any other role is itself.
func (g *Graph) Each(r Role) []Role {
	s, ok := g.Stage(r.Name)
	if r.Kind != RoleProxy || !ok {
		return []Role{r}
	}
	switch all := s.proxyRoles(); {
	case r.Number == 0:
		return all
	case r.Number <= len(all):
		return all[r.Number-1 : r.Number]
	}
	return []Role{r} // there is none
}

// isOutside reports whether the stage's workers are started elsewhere.
func (s *Stage) isOutside() bool { return s.External || s.Compat != "" }
