package graph

import "fmt"

// compose puts the documents of several files together.
func compose(documents []document) (*Graph, []Problem) {
	g := &Graph{Limits: Limits{MaxHops: DefaultMaxHops}}
	var problems []Problem
	first := make(map[string]Position) // of keys and stages
	for _, d := range documents {
		for _, key := range []string{"front", "fronts", "limits"} {
			if p, twice := again(first, d.at, key); twice {
				problems = append(problems, p)
			}
		}
		g.Fronts = append(g.Fronts, d.fronts...)
		g.Routes = append(g.Routes, d.routes...)
		if d.limits.MaxHops != 0 {
			g.Limits = d.limits
		}
		for _, s := range d.stages {
			if at, twice := first["stages."+s.Name]; twice {
				problems = append(problems, s.below(s.Position, "", fmt.Sprintf("the stage is there twice, first at %v", at), "give one of them another name"))
				continue
			}
			first["stages."+s.Name] = s.Position
			g.Stages = append(g.Stages, s)
		}
	}
	one, hasOne := first["front"]
	if several, ok := first["fronts"]; ok && hasOne {
		problems = append(problems, Problem{
			Position: several, Path: "fronts",
			Message: fmt.Sprintf("front and fronts exclude one another; front is at %v", one),
			Hint:    "move it into fronts, under a name",
		})
	}
	if len(g.Fronts) == 0 && len(documents) > 0 {
		g.Fronts = append(g.Fronts, newFront("front", Position{}))
	}
	return g, problems
}

// again notes the place of a key, and returns a problem where it has one.
func again(first, places map[string]Position, key string) (Problem, bool) {
	at, there := places[key]
	before, twice := first[key]
	if there && !twice {
		first[key] = at
	}
	return Problem{
		Position: at, Path: key,
		Message: fmt.Sprintf("%s is in two files, first at %v", key, before),
		Hint:    "leave it in one of them",
	}, there && twice
}
