package graph

import (
	"cmp"
	"fmt"
	"slices"
)

// compose puts the documents of several files together. It returns where the
// keys of the files are, too, each at its first place; top is the place of what
// is in no file.
func compose(documents []document, top Position) (*Graph, map[string]Position, []Problem) {
	g := &Graph{Priorities: DefaultPriorities(), Limits: Limits{MaxHops: DefaultMaxHops, Position: top}}
	at, stages := make(map[string]Position), make(map[string]Position)
	var problems []Problem
	for _, d := range documents {
		problems = append(problems, again(at, d.at)...)
		if len(g.Fronts) == 0 { // else it is reported
			g.Fronts = d.fronts
		}
		g.Routes = append(g.Routes, d.routes...)
		if len(d.classes) > 0 {
			g.Priorities = d.classes
		}
		if d.limits.MaxHops != 0 || d.limits.FrontGrace != 0 {
			g.Limits = d.limits
			g.Limits.MaxHops = cmp.Or(d.limits.MaxHops, DefaultMaxHops)
		}
		if d.metrics.Listen != "" {
			g.Metrics = d.metrics
		}
		if _, here := d.at["mtls"]; here {
			g.MTLS = d.mtls
		}
		if d.network != "" {
			g.Network = d.network
		}
		for _, s := range d.stages {
			if first, twice := stages[s.Name]; twice {
				problems = append(problems, s.below(s.Position, "",
					fmt.Sprintf("the stage is there twice, first at %v", first), "give one of them another name"))
				continue
			}
			stages[s.Name] = s.Position
			g.Stages = append(g.Stages, s)
		}
	}
	one, hasOne := at["front"]
	several, hasSeveral := at["fronts"]
	switch {
	case hasOne && hasSeveral:
		problems = append(problems, Problem{
			Position: several, Path: "fronts",
			Message: fmt.Sprintf("front and fronts exclude one another; front is at %v", one),
			Hint:    "move it into fronts, under a name",
		})
	case !hasOne && !hasSeveral:
		g.Fronts = append(g.Fronts, newFront(loneFront, top))
	}
	return g, at, problems
}

// again adds the keys of a file to those of the files before it, and returns
// problems for those that may be in one file only.
func again(first, of map[string]Position) []Problem {
	var problems []Problem
	for _, key := range sortedKeys(of) {
		before, twice := first[key]
		switch {
		case !twice:
			first[key] = of[key]
		case slices.Contains([]string{"front", "fronts", "limits", "metrics", "priorities", "mtls", "network"}, key):
			problems = append(problems, Problem{
				Position: of[key], Path: key,
				Message: fmt.Sprintf("%s is in two files, first at %v", key, before),
				Hint:    "leave it in one of them",
			})
		}
	}
	return problems
}
