package graph

import (
	"fmt"
	"io"
	"slices"
)

// Format is a form of drawing.
type Format string

// The formats.
const (
	FormatText    Format = "text"    // for a terminal
	FormatDot     Format = "dot"     // Graphviz
	FormatMermaid Format = "mermaid" // Markdown, on many sites
	FormatSVG     Format = "svg"     // a picture, without any other program
)

// Formats returns all formats, the default first.
func Formats() []Format { return []Format{FormatText, FormatDot, FormatMermaid, FormatSVG} }

// DrawError says why a graph cannot be drawn.
type DrawError struct {
	Format Format
	Reason string
}

func (e *DrawError) Error() string { return fmt.Sprintf("graph: draw %q: %s", e.Format, e.Reason) }

// Draw writes a picture of the graph, the same for the same graph. Errors are
// those of w, or a *DrawError for a format that is not known, or a graph too
// large for it.
func (g *Graph) Draw(w io.Writer, f Format) error {
	var out []byte
	var err error
	switch f {
	case FormatText:
		out, err = drawText(g)
	case FormatDot:
		out = drawDot(g)
	case FormatMermaid:
		out = drawMermaid(g)
	case FormatSVG:
		out, err = drawSVG(g)
	default:
		err = &DrawError{f, fmt.Sprintf("want one of %v", Formats())}
	}
	if err == nil {
		_, err = w.Write(out)
	}
	return err
}

// edge is a step from one stage to another, by their indexes.
type edge struct {
	from, to int
	back     bool // it closes a cycle
}

// edges returns the edges of the graph in its order. An edge is back if it
// leads to a stage that the walk from the routes is just passing through.
func (p *paths) edges(g *Graph) []edge {
	const passing, passed = 1, 2
	state := make([]int, len(p.next))
	back := make(map[[2]int]bool)
	var walk func(i int)
	walk = func(i int) {
		state[i] = passing
		for _, to := range p.next[i] {
			switch state[to] {
			case 0:
				walk(to)
			case passing:
				back[[2]int{i, to}] = true
			}
		}
		state[i] = passed
	}
	for _, i := range p.entries(g) {
		if state[i] == 0 {
			walk(i)
		}
	}
	var all []edge
	for i, next := range p.next {
		for _, to := range next {
			all = append(all, edge{i, to, back[[2]int{i, to}]})
		}
	}
	return all
}

// entries returns the stages that routes lead to in the order of the routes,
// and after them all others.
func (p *paths) entries(g *Graph) []int {
	var all []int
	seen := make([]bool, len(p.next))
	add := func(i int) {
		if !seen[i] {
			seen[i] = true
			all = append(all, i)
		}
	}
	for i := range g.Routes {
		if to, ok := p.index[g.Routes[i].Stage]; ok {
			add(to)
		}
	}
	for i := range p.next {
		add(i)
	}
	return all
}

// layers returns for each stage the length of the longest way to it, edges that
// close cycles left out.
func layers(stages int, edges []edge) []int {
	waiting, next := make([]int, stages), make([][]int, stages)
	for _, e := range edges {
		if !e.back {
			waiting[e.to]++
			next[e.from] = append(next[e.from], e.to)
		}
	}
	layer := make([]int, stages)
	var done []int
	for i, n := range waiting {
		if n == 0 {
			done = append(done, i)
		}
	}
	for i := 0; i < len(done); i++ {
		for _, to := range next[done[i]] {
			layer[to] = max(layer[to], layer[done[i]]+1)
			if waiting[to]--; waiting[to] == 0 {
				done = append(done, to)
			}
		}
	}
	return layer
}

// inOrder returns the stages so that edges lead downwards, cycles apart.
func inOrder(entries, layer []int) []int {
	order := slices.Clone(entries)
	slices.SortStableFunc(order, func(a, b int) int { return layer[a] - layer[b] })
	return order
}
