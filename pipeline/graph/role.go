package graph

import (
	"fmt"
	"strings"
)

// Role is a part of a graph that can be a process of its own.
type Role struct {
	Kind RoleKind
	// Name is that of the front or stage. "front" is the front that the file
	// gives no name, or the only one.
	Name string
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
	return string(r.Kind) + ":" + r.Name
}

// RoleError says what is wrong with the text of a role.
type RoleError struct {
	Role   string
	Reason string
}

func (e *RoleError) Error() string { return fmt.Sprintf("graph: role %q: %s", e.Role, e.Reason) }

// ParseRole reads front, front:NAME, proxy:STAGE or workers:STAGE. Errors are
// *RoleError. Whether a graph has the part is CheckRoles's question.
func ParseRole(s string) (Role, error) {
	kind, name, named := strings.Cut(s, ":")
	switch r := (Role{RoleKind(kind), name}); {
	case r.Kind != RoleFront && r.Kind != RoleProxy && r.Kind != RoleWorkers:
		return Role{}, &RoleError{s, "want front, front:NAME, proxy:STAGE or workers:STAGE"}
	case r.Kind == RoleFront && !named:
		return Role{r.Kind, loneFront}, nil
	case named && name == "":
		return Role{}, &RoleError{s, "no name behind the colon"}
	case name == "":
		return Role{}, &RoleError{s, fmt.Sprintf("want a stage's name: %s:STAGE", kind)}
	default:
		return r, nil
	}
}

// AllRoles returns the parts of the graph, in its order: fronts, then the proxy
// and the workers of each stage. Workers that are started elsewhere are no part.
func (g *Graph) AllRoles() []Role {
	var roles []Role
	for i := range g.Fronts {
		roles = append(roles, Role{RoleFront, g.Fronts[i].Name})
	}
	for i := range g.Stages {
		s := &g.Stages[i]
		roles = append(roles, Role{RoleProxy, s.Name})
		if !s.isOutside() {
			roles = append(roles, Role{RoleWorkers, s.Name})
		}
	}
	return roles
}

// isOutside reports whether the stage's workers are started elsewhere.
func (s *Stage) isOutside() bool { return s.External || s.Compat != "" }
