package cluster

import (
	"slices"

	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// StopOrder returns parts of g in the ranks in which they are stopped, each
// once the one before it has ended: the fronts, which answer what they took,
// and then stage after stage, in the direction of the jobs, its proxy, which
// lets the workers empty its queue, and its workers. So what a front elsewhere
// was promised is kept, too, while new jobs are refused at once.
//
// Stages beside one another are stopped together. In a cycle the stage that
// jobs enter first is the first.
func StopOrder(g *graph.Graph, roles []graph.Role) [][]graph.Role {
	level := levels(g)
	ranks := make([][]graph.Role, 3+2*len(g.Stages))
	for _, r := range roles {
		rank := 0
		switch r.Kind {
		case graph.RoleProxy:
			rank = 1 + 2*level[r.Name]
		case graph.RoleWorkers:
			rank = 2 + 2*level[r.Name]
		}
		ranks[rank] = append(ranks[rank], r)
	}
	return slices.DeleteFunc(ranks, func(rank []graph.Role) bool { return len(rank) == 0 })
}

// levels returns how many stages a job may have come through before each, at
// most, a turn in a cycle left out.
func levels(g *graph.Graph) map[string]int {
	stages := reachable(g)
	place := make(map[string]int, len(stages))
	for i, st := range stages {
		place[st.Name] = i
	}
	level := make(map[string]int, len(stages))
	for i, st := range stages {
		for _, next := range st.Next {
			if place[next] > i {
				level[next] = max(level[next], level[st.Name]+1)
			}
		}
	}
	return level
}

// reachable returns the stages that jobs of g's routes can get to, each before
// those that it forwards to, as far as there are no cycles.
func reachable(g *graph.Graph) []*graph.Stage {
	var found []*graph.Stage // the last first
	seen := make(map[string]bool)
	var visit func(name string)
	visit = func(name string) {
		st, ok := g.Stage(name)
		if !ok || seen[name] {
			return
		}
		seen[name] = true
		for _, next := range slices.Backward(st.Next) {
			visit(next)
		}
		found = append(found, st)
	}
	for _, r := range slices.Backward(g.Routes) {
		visit(r.Stage)
	}
	slices.Reverse(found)
	return found
}

// behind returns the names of the stages to which a stage's jobs may come.
func behind(g *graph.Graph, name string) []string {
	var found []string
	var visit func(name string)
	visit = func(name string) {
		st, ok := g.Stage(name)
		if !ok {
			return
		}
		for _, next := range st.Next {
			if !slices.Contains(found, next) {
				found = append(found, next)
				visit(next)
			}
		}
	}
	visit(name)
	return found
}
