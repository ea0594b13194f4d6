package graph

import "slices"

// tarjan finds the strongly connected components of the stages.
type tarjan struct {
	*paths
	without func(int) bool
	seen    []int // when a stage was seen first, from 1
	low     []int // the earliest stage that can be reached from it
	open    []bool
	stack   []int
	clock   int
	found   [][]int
}

func (t *tarjan) visit(i int) {
	t.clock++
	t.seen[i], t.low[i] = t.clock, t.clock
	t.stack, t.open[i] = append(t.stack, i), true
	for _, to := range t.next[i] {
		switch {
		case t.without(to):
		case t.seen[to] == 0:
			t.visit(to)
			t.low[i] = min(t.low[i], t.low[to])
		case t.open[to]:
			t.low[i] = min(t.low[i], t.seen[to])
		}
	}
	if t.low[i] != t.seen[i] {
		return
	}
	at := slices.Index(t.stack, i)
	knot := slices.Clone(t.stack[at:])
	t.stack = t.stack[:at]
	for _, member := range knot {
		t.open[member] = false
	}
	if len(knot) > 1 || slices.Contains(t.next[i], i) {
		t.found = append(t.found, knot)
	}
}

func (t *tarjan) sorted() [][]int {
	for _, knot := range t.found {
		slices.Sort(knot)
	}
	slices.SortFunc(t.found, func(a, b []int) int { return a[0] - b[0] })
	return t.found
}
