package graph

import (
	"fmt"
	"slices"
	"strings"
)

// textBox is a box of the text picture. Each of its lines may lead to another
// box.
type textBox struct {
	title string
	lines []textLine
	works bool // it is a stage: its answers take the loopback
	hears bool // it is a front: the loopback ends here
	row   int  // of its title
}

type textLine struct {
	text string
	to   int // index of a box; -1 is none
}

// lane is a vertical line beside the boxes that gathers all edges to one box.
type lane struct {
	to          int
	sources     []int // rows of the lines that lead there
	first, last int   // rows that it spans
	column      int
}

const (
	boxLeft   = 4 // columns before the boxes, for the loopback
	boxMost   = 72
	textCells = 4 << 20 // bound of a picture
)

// drawText draws the boxes below one another, with the edges as lanes to the
// right of them and the loopback as a dashed line to the left:
//
//	╭┄▶┌─ front ──────────────┐
//	┊  │ http://:8002         ├─╮
//	┊  └──────────────────────┘ │
//	┊  ┌─ routes ─────────────┐◀╯
//	┊  │ 1 /                  ├─╮
//	┊  └──────────────────────┘ │
//	╰┄┄┌─ greet ──────────────┐◀╯
//	   │ echo × cores         │
//	   └──────────────────────┘
func drawText(g *Graph) ([]byte, error) {
	boxes := textBoxes(g)
	inner, row := 0, 0
	for i := range boxes {
		b := &boxes[i]
		b.row = row
		row += len(b.lines) + 2
		inner = max(inner, width(b.title)+1)
		for _, l := range b.lines {
			inner = max(inner, width(l.text))
		}
	}
	right := boxLeft + min(inner, boxMost) + 3 // column of the boxes' right side
	lanes := textLanes(boxes, right+2)
	widest := right
	for i := range lanes {
		widest = max(widest, lanes[i].column+1)
	}
	if row*widest > textCells {
		return nil, &DrawError{FormatText, "the graph is too large for a terminal: draw it as dot"}
	}
	var c canvas
	for i := range boxes {
		boxes[i].draw(&c, right)
	}
	for i := range lanes {
		lanes[i].draw(&c, right, boxes)
	}
	drawLoopback(&c, boxes)
	legend := "┄ loopback: each stage can answer the front that waits"
	if slices.ContainsFunc(boxes, textBox.cycles) {
		legend += "   ↺ cycle"
	}
	c.write(row+1, 1, legend)
	return c.bytes(), nil
}

// textBoxes returns fronts, routes, and stages in the order of the edges.
func textBoxes(g *Graph) []textBox {
	p := newPaths(g)
	edges := p.edges(g)
	order := inOrder(p.entries(g), layers(len(g.Stages), edges))
	routes := len(g.Fronts)
	at := make([]int, len(g.Stages)) // box of each stage
	for i, s := range order {
		at[s] = routes + 1 + i
	}
	var boxes []textBox
	for i := range g.Fronts {
		f := &g.Fronts[i]
		b := textBox{title: f.label(), hears: true}
		for j, l := range f.lines() {
			to := -1
			if j == 0 {
				to = routes
			}
			b.lines = append(b.lines, textLine{cut(l, boxMost), to})
		}
		boxes = append(boxes, b)
	}
	b := textBox{title: "routes"}
	for i := range g.Routes {
		b.lines = append(b.lines, routeLines(&g.Routes[i], i, p, at)...)
	}
	boxes = append(boxes, b)
	out := make([][]edge, len(g.Stages))
	for _, e := range edges {
		out[e.from] = append(out[e.from], e)
	}
	for _, i := range order {
		s := &g.Stages[i]
		b := textBox{title: s.Name, works: true}
		for _, l := range s.lines() {
			b.lines = append(b.lines, textLine{cut(l, boxMost), -1})
		}
		for _, e := range out[i] {
			mark := "→ "
			if e.back {
				mark = "↺ "
			}
			b.lines = append(b.lines, textLine{mark + g.Stages[e.to].Name, at[e.to]})
		}
		boxes = append(boxes, b)
	}
	return boxes
}

// routeLines returns a route's line, and one for its terms.
func routeLines(r *Route, i int, p paths, at []int) []textLine {
	number := fmt.Sprintf("%d ", i+1)
	line := textLine{cut(number+r.pattern(), boxMost), -1}
	if to, ok := p.index[r.Stage]; ok {
		line.to = at[to]
	}
	if terms := r.terms(); terms != "" {
		return []textLine{line, {cut(strings.Repeat(" ", len(number))+terms, boxMost), -1}}
	}
	return []textLine{line}
}

// cycles reports whether a line of the box closes a cycle.
func (b textBox) cycles() bool {
	return slices.ContainsFunc(b.lines, func(l textLine) bool { return l.to >= 0 && strings.HasPrefix(l.text, "↺") })
}

// draw draws the box between the margin and the column of its right side.
func (b *textBox) draw(c *canvas, right int) {
	inside := right - boxLeft - 1
	title := "─ " + cut(b.title, inside-4) + " "
	c.write(b.row, boxLeft, "┌"+title+strings.Repeat("─", inside-width(title))+"┐")
	for i, l := range b.lines {
		row := b.row + 1 + i
		c.write(row, boxLeft, "│ "+l.text)
		c.write(row, right, "│")
	}
	c.write(b.row+1+len(b.lines), boxLeft, "└"+strings.Repeat("─", inside)+"┘")
}

// textLanes returns a lane for each box that something leads to: short ones
// next to the boxes, from the column left on, and none over another.
func textLanes(boxes []textBox, left int) []lane {
	lanes := make([]lane, len(boxes))
	for i := range lanes {
		lanes[i] = lane{to: i, first: boxes[i].row, last: boxes[i].row}
	}
	for _, b := range boxes {
		for i, l := range b.lines {
			if l.to >= 0 {
				lanes[l.to].add(b.row + 1 + i)
			}
		}
	}
	lanes = slices.DeleteFunc(lanes, func(n lane) bool { return len(n.sources) == 0 })
	slices.SortStableFunc(lanes, func(a, b lane) int { return (a.last - a.first) - (b.last - b.first) })
	var columns [][]lane
	for i := range lanes {
		n := &lanes[i]
		free := slices.IndexFunc(columns, func(c []lane) bool { return !slices.ContainsFunc(c, n.overlaps) })
		if free < 0 {
			free, columns = len(columns), append(columns, nil)
		}
		columns[free] = append(columns[free], *n)
		n.column = left + 2*free
	}
	return lanes
}

func (n *lane) add(row int) {
	n.sources = append(n.sources, row)
	n.first, n.last = min(n.first, row), max(n.last, row)
}

func (n *lane) overlaps(o lane) bool { return n.first <= o.last && o.first <= n.last }

// draw draws the lane, and what leads to and from it.
func (n *lane) draw(c *canvas, right int, boxes []textBox) {
	for row := n.first; row <= n.last; row++ {
		c.line(row, n.column, '│')
	}
	for _, row := range append([]int{boxes[n.to].row}, n.sources...) {
		for column := right + 1; column < n.column; column++ {
			c.line(row, column, '─')
		}
		corner := '┤'
		switch row {
		case n.first:
			corner = '╮'
		case n.last:
			corner = '╯'
		}
		c.set(row, n.column, corner)
		c.set(row, right, '├')
	}
	c.set(boxes[n.to].row, right, '┐')
	c.set(boxes[n.to].row, right+1, '◀')
}

// line draws a piece of a line; where it meets one of the other direction the
// two cross.
func (c *canvas) line(row, column int, r rune) {
	switch c.at(row, column) {
	case ' ', r:
		c.set(row, column, r)
	case '│', '─':
		c.set(row, column, '┼')
	}
}

// drawLoopback draws the way of answers.
func drawLoopback(c *canvas, boxes []textBox) {
	first, last := -1, -1
	for _, b := range boxes {
		if b.works || b.hears {
			if first < 0 {
				first = b.row
			}
			last = b.row
		}
	}
	for row := first; row <= last && first >= 0; row++ {
		c.set(row, 1, '┊')
	}
	for _, b := range boxes {
		corner := '├'
		switch b.row {
		case first:
			corner = '╭'
		case last:
			corner = '╰'
		}
		if b.hears {
			c.write(b.row, 1, string(corner)+"┄▶")
		}
		if b.works {
			c.write(b.row, 1, string(corner)+"┄┄")
		}
	}
}
