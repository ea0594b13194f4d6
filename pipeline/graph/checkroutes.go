package graph

import (
	"fmt"
	"slices"
	"strings"
)

// checkRoutes looks at each route alone, and at where it leads.
func (c *checker) checkRoutes() {
	for i := range c.g.Routes {
		r := &c.g.Routes[i]
		c.checkCORS(&r.origin, r.Position, &r.CORS)
		add := func(rest, message, hint string) { c.add(r.below(r.Position, rest, message, hint)) }
		switch {
		case r.has(".path") && r.has(".prefix"):
			add(".prefix", "path and prefix exclude one another", "make it two routes")
		case !r.has(".path") && !r.has(".prefix"):
			add("", "neither path nor prefix says which requests", "write prefix: / for every path")
		}
		if r.Stage == "" {
			continue
		}
		if _, ok := c.paths.index[r.Stage]; !ok {
			add(".stage", fmt.Sprintf("there is no stage %q", r.Stage), c.hint(r.Stage, c.paths.names))
			continue
		}
		c.checkHealth(r)
		c.checkTarget(r)
		c.checkBody(r)
	}
}

// checkHealth warns of routes that the front answers itself.
func (c *checker) checkHealth(r *Route) {
	for _, f := range c.g.Fronts {
		for _, health := range [...]string{f.Live, f.Ready} {
			if health != "" && r.Path != "" && normalPath(r.Path) == normalPath(health) {
				c.warn(r.below(r.Position, ".path",
					fmt.Sprintf("the %s answers %s itself, as a health check", f.label(), health), "give live or ready another path"))
				return
			}
		}
	}
}

// checkTarget looks at the names in a route, and warns of requests that its
// stage can do nothing with.
func (c *checker) checkTarget(r *Route) {
	s, _ := c.g.Stage(r.Stage)
	if names := c.classNames(); r.Priority != "" && !slices.Contains(names, r.Priority) {
		c.add(r.below(r.Position, ".priority", fmt.Sprintf("there is no priority class %q", r.Priority), c.hint(r.Priority, names)))
	}
	if i := slices.Index(r.Methods, "PATCH"); i >= 0 && s.Compat != "" {
		c.warn(r.below(r.Position, fmt.Sprintf(".methods[%d]", i), "prime_server's workers cannot read PATCH: it is answered 501", ""))
	}
}

func (c *checker) classNames() []string {
	var names []string
	for _, p := range c.g.Priorities {
		names = append(names, p.Name)
	}
	return names
}

// checkShadows finds routes whose requests earlier ones take, be it one or
// several that differ in their methods.
func (c *checker) checkShadows() {
	prepared := make([]matcher, len(c.g.Routes))
	for i := range c.g.Routes {
		prepared[i] = newMatcher(&c.g.Routes[i])
	}
	for i := range prepared {
		r := &c.g.Routes[i]
		if !r.isWhole() {
			continue
		}
		left := prepared[i].methods
		var by []string
		for j := 0; j < i && left != 0; j++ {
			if c.g.Routes[j].isWhole() && left&prepared[j].methods != 0 && prepared[j].covers(&prepared[i]) {
				left &^= prepared[j].methods
				by = append(by, fmt.Sprintf("%s at %v", c.g.Routes[j].path, c.g.Routes[j].Position))
			}
		}
		if left == 0 {
			c.add(r.below(r.Position, "", "no request gets here: taken by "+strings.Join(by, " and "), "move it up, or remove it"))
		}
	}
}

// isWhole reports whether all that a route matches by is known.
func (r *Route) isWhole() bool { return !r.flawed && (r.Path == "") != (r.Prefix == "") }
