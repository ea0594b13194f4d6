package graph

import (
	"fmt"
	"slices"
	"strings"
)

// checkEdges finds stages that no job gets to.
func (c *checker) checkEdges() {
	leadNowhere := slices.ContainsFunc(c.g.Routes, func(r Route) bool { return r.Stage == "" }) // and may have been meant
	for i, depth := range c.paths.depth {
		s := &c.g.Stages[i]
		switch {
		case depth == 0 && leadNowhere:
		case depth == 0:
			p := s.below(s.Position, "", "no job gets here: no route leads to it, and no stage that one leads to",
				"add a route or a next, or remove it")
			if s.isOutside() { // its workers may be made ready before the route is
				c.warn(p)
			} else {
				c.add(p)
			}
		case depth > c.g.Limits.MaxHops:
			c.add(s.below(s.Position, "",
				fmt.Sprintf("no job gets here: it is the stage %d of a job, and limits.max_hops is %d", depth, c.g.Limits.MaxHops), "raise max_hops"))
		case s.Compat != "" && len(c.g.Fronts) > 1:
			c.add(s.below(s.Position, ".compat", fmt.Sprintf("prime_server's workers answer to one front, and there are %d that lead here: %s",
				len(c.g.Fronts), strings.Join(c.frontNames(), ", ")), "give them a graph with a front of its own"))
		}
	}
}

func (c *checker) frontNames() []string {
	var names []string
	for _, f := range c.g.Fronts {
		names = append(names, f.Name)
	}
	return names
}

// checkCycles warns of cycles that nothing but the default ends.
func (c *checker) checkCycles() {
	if c.g.Limits.has(".max_hops") {
		return
	}
	bounded := func(i int) bool { return c.g.Stages[i].MaxVisits > 0 || c.g.Stages[i].flawed }
	for _, knot := range c.paths.knots(bounded) {
		var names []string
		for _, i := range knot {
			names = append(names, c.g.Stages[i].Name)
		}
		s := &c.g.Stages[knot[0]]
		c.warn(s.below(s.Position, ".next", fmt.Sprintf("a cycle without a bound of its own: %s; a job may enter %d stages",
			strings.Join(names, ", "), c.g.Limits.MaxHops), "write max_visits at a stage of it, or limits: {max_hops: N}"))
	}
}
