package graph

// Distances between the cells of a layer.
const (
	boxGap  = 30
	lineGap = 16 // beside a line that passes through
)

// place gives each cell its height on the page: near to those it is linked to,
// and apart from its neighbours. Rows keep theirs, around 0.
func (l *layout) place() {
	for i := range l.layers {
		l.spread(i, make([]float64, len(l.layers[i])))
	}
	const rounds = 10
	for round := range rounds {
		for i := range l.layers {
			if round%2 == 1 {
				i = len(l.layers) - 1 - i
			}
			last := round >= rounds-2
			l.spread(i, l.wanted(i, last || round%2 == 0, last || round%2 == 1))
		}
	}
}

// wanted returns where each cell of a layer wants to be: at the mean of what
// leads to it, of what it leads to, or of both.
func (l *layout) wanted(i int, byBefore, byAfter bool) []float64 {
	want := make([]float64, len(l.layers[i]))
	for j, at := range l.layers[i] {
		c := &l.cells[at]
		sum, n := 0.0, 0
		add := func(y float64) { sum, n = sum+y, n+1 }
		if byBefore {
			for _, b := range c.before {
				add(l.cells[b].portY())
			}
			for _, r := range c.rows {
				add(l.rows[r].y)
			}
		}
		if byAfter {
			for _, a := range c.after {
				add(l.cells[a].portY())
			}
		}
		want[j] = c.y
		if n > 0 {
			want[j] = sum/float64(n) - c.port
		}
	}
	return want
}

// portY is the height at which lines enter and leave a cell.
func (c *cell) portY() float64 { return c.y + c.port }

// spread places the cells of a layer as near as can be to where they want to
// be, without one over another: those that would overlap move together to the
// mean of their wishes (isotonic regression).
func (l *layout) spread(i int, want []float64) {
	type block struct {
		sum   float64 // of the wishes, each less its cell's offset
		cells int
	}
	offset := make([]float64, len(want)) // from the first cell, if all touch
	for j := 1; j < len(want); j++ {
		offset[j] = offset[j-1] + l.distance(l.layers[i][j-1], l.layers[i][j])
	}
	var blocks []block
	mean := func(b block) float64 { return b.sum / float64(b.cells) }
	for j, w := range want {
		blocks = append(blocks, block{w - offset[j], 1})
		for n := len(blocks); n > 1 && mean(blocks[n-2]) > mean(blocks[n-1]); n-- {
			blocks[n-2].sum += blocks[n-1].sum
			blocks[n-2].cells += blocks[n-1].cells
			blocks = blocks[:n-1]
		}
	}
	j := 0
	for _, b := range blocks {
		for range b.cells {
			l.cells[l.layers[i][j]].y = mean(b) + offset[j]
			j++
		}
	}
}

// distance is what the middles of two neighbours keep at least.
func (l *layout) distance(upper, lower int) float64 {
	a, b := &l.cells[upper], &l.cells[lower]
	gap := float64(boxGap)
	if a.passes || b.passes {
		gap = lineGap
	}
	return (a.height+b.height)/2 + gap
}
