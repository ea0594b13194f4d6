package graph

// paths are the edges between the stages, by their indexes.
type paths struct {
	names []string
	index map[string]int
	next  [][]int // edges to nowhere left out
	meant [][]int // with the edges that seem to be meant by those
	depth []int   // stages entered on the shortest way from a request; 0: none
	asked int     // how often a name was looked for that does not exist
}

// newPaths reads the edges. For depth the stage that seems to be meant is as
// good as the right one, so that one slip is not reported twice.
func newPaths(g *Graph) paths {
	n := len(g.Stages)
	p := paths{index: make(map[string]int, n), next: make([][]int, n), meant: make([][]int, n), depth: make([]int, n)}
	for i := range g.Stages {
		p.names = append(p.names, g.Stages[i].Name)
		p.index[g.Stages[i].Name] = i
	}
	for i := range g.Stages {
		for _, name := range g.Stages[i].Next {
			if to, ok := p.index[name]; ok {
				p.next[i] = append(p.next[i], to)
			}
			if to, ok := p.find(name); ok {
				p.meant[i] = append(p.meant[i], to)
			}
		}
	}
	var reached []int
	enter := func(stage, depth int) {
		if p.depth[stage] == 0 {
			p.depth[stage] = depth
			reached = append(reached, stage)
		}
	}
	for i := range g.Routes {
		if to, ok := p.find(g.Routes[i].Stage); ok {
			enter(to, 1)
		}
	}
	for i := 0; i < len(reached); i++ {
		for _, to := range p.meant[reached[i]] {
			enter(to, p.depth[reached[i]]+1)
		}
	}
	return p
}

// find returns the stage of a name, or the one that seems to be meant.
func (p *paths) find(name string) (int, bool) {
	if i, ok := p.index[name]; ok {
		return i, true
	}
	if p.asked++; p.asked > maxGuesses {
		return 0, false
	}
	near, ok := closest(name, p.names)
	return p.index[near], ok
}

// knots returns the groups of stages that can reach one another, a stage with
// an edge to itself included, without going through those that are left out.
// Groups and stages are in the order of the graph.
func (p *paths) knots(without func(int) bool) [][]int {
	t := tarjan{paths: p, without: without, seen: make([]int, len(p.next)), low: make([]int, len(p.next)), open: make([]bool, len(p.next))}
	for i := range p.next {
		if t.seen[i] == 0 && !without(i) {
			t.visit(i)
		}
	}
	return t.sorted()
}
