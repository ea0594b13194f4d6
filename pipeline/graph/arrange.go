package graph

import (
	"cmp"
	"slices"
)

// maxCounted bounds the lines of a picture whose crossings are counted, which
// takes the square of their number.
const maxCounted = 2000

// arrange orders the cells of each layer so that few lines cross: each goes to
// the mean place of those it is linked to, layer by layer to and fro, and the
// best order of all is kept.
func (l *layout) arrange() {
	lines := 0
	for _, c := range l.cells {
		lines += len(c.before) + len(c.rows)
	}
	for i := range l.layers {
		l.number(i)
	}
	if lines > maxCounted {
		l.sweep(false)
		l.sweep(true)
		return
	}
	best, fewest := l.order(), l.crossings()
	for round := 0; round < 12 && fewest > 0; round++ {
		l.sweep(round%2 == 1)
		if n := l.crossings(); n < fewest {
			best, fewest = l.order(), n
		}
	}
	l.layers = best
}

// sweep sorts one layer after the other: to the right by what leads to their
// cells, or to the left by where they lead.
func (l *layout) sweep(left bool) {
	for i := range l.layers {
		if left {
			i = len(l.layers) - 1 - i
		}
		mean := make(map[int]float64, len(l.layers[i]))
		for _, c := range l.layers[i] {
			mean[c] = l.mean(&l.cells[c], left)
		}
		slices.SortStableFunc(l.layers[i], func(a, b int) int { return cmp.Compare(mean[a], mean[b]) })
		l.number(i)
	}
}

// mean returns the mean place of what a cell leads to, or of what leads to it.
func (l *layout) mean(c *cell, after bool) float64 {
	sum, n := 0, 0
	linked := c.before
	if after {
		linked = c.after
	} else {
		for _, r := range c.rows {
			sum, n = sum+r, n+1
		}
	}
	for _, o := range linked {
		sum, n = sum+l.cells[o].place, n+1
	}
	if n == 0 {
		return float64(c.place)
	}
	return float64(sum) / float64(n)
}

// number notes the places of a layer's cells.
func (l *layout) number(layer int) {
	for i, c := range l.layers[layer] {
		l.cells[c].place = i
	}
}

func (l *layout) order() [][]int {
	order := make([][]int, len(l.layers))
	for i := range l.layers {
		order[i] = slices.Clone(l.layers[i])
	}
	return order
}

// crossings counts the pairs of lines between neighbouring layers that cross.
func (l *layout) crossings() int {
	total := 0
	for _, cells := range l.layers {
		var lines [][2]int
		for _, at := range cells {
			c := &l.cells[at]
			for _, b := range c.before {
				lines = append(lines, [2]int{l.cells[b].place, c.place})
			}
			for _, r := range c.rows {
				lines = append(lines, [2]int{r, c.place})
			}
		}
		for j, a := range lines {
			for _, b := range lines[:j] {
				if (a[0]-b[0])*(a[1]-b[1]) < 0 {
					total++
				}
			}
		}
	}
	return total
}
