package graph

// layout places the stages of a picture in layers from left to right, so that
// edges lead to the right. An edge over several layers passes through a cell of
// its own in each of those between; all edges to one stage share these cells.
// So lines stay between the boxes and never cross one.
type layout struct {
	cells  []cell
	layers [][]int // cells of each layer, from top to bottom
	stage  []int   // the cell of each stage
	rows   []row   // of the table of routes
}

// cell is a place in a layer: a stage, or where edges to one pass through.
type cell struct {
	stage  int // the stage, or the one that the edges lead to
	passes bool
	layer  int
	before []int // cells that lead here
	after  []int // cells that this one leads to
	rows   []int // rows that lead here
	place  int   // in its layer

	height float64
	port   float64 // where lines begin and end, from the middle downwards
	y      float64 // of the middle
}

// row is a route in the table of routes.
type row struct {
	y  float64
	to int // a cell; -1 is none
}

// maxCells bounds a picture.
const maxCells = 20_000

// newLayout returns the cells and what leads from one to another, or false
// where there are too many.
func newLayout(g *Graph, p *paths, edges []edge) (*layout, bool) {
	layer := layers(len(g.Stages), edges)
	l := &layout{stage: make([]int, len(g.Stages))}
	for _, s := range inOrder(p.entries(g), layer) {
		l.stage[s] = len(l.cells)
		l.cells = append(l.cells, cell{stage: s, layer: layer[s]})
	}
	passing := make(map[[2]int]int) // by stage and layer
	// enter returns the cell of a layer for edges to a stage.
	var enter func(stage, at int) int
	enter = func(stage, at int) int {
		if at == layer[stage] {
			return l.stage[stage]
		}
		if c, ok := passing[[2]int{stage, at}]; ok {
			return c
		}
		c := len(l.cells)
		passing[[2]int{stage, at}] = c
		l.cells = append(l.cells, cell{stage: stage, passes: true, layer: at})
		if c < maxCells {
			l.link(c, enter(stage, at+1))
		}
		return c
	}
	for _, e := range edges {
		if !e.back {
			l.link(l.stage[e.from], enter(e.to, layer[e.from]+1))
		}
	}
	for i := range g.Routes {
		r := row{to: -1}
		if s, ok := p.index[g.Routes[i].Stage]; ok {
			r.to = enter(s, 0)
			l.cells[r.to].rows = append(l.cells[r.to].rows, i)
		}
		l.rows = append(l.rows, r)
	}
	for i, c := range l.cells {
		for len(l.layers) <= c.layer {
			l.layers = append(l.layers, nil)
		}
		l.layers[c.layer] = append(l.layers[c.layer], i)
	}
	return l, len(l.cells) < maxCells
}

func (l *layout) link(from, to int) {
	l.cells[from].after = append(l.cells[from].after, to)
	l.cells[to].before = append(l.cells[to].before, from)
}
