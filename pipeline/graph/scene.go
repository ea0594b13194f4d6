package graph

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Sizes of the svg picture, in its units.
const (
	margin      = 24
	paddingX    = 14
	leastWide   = 96
	mostColumns = 46  // of a text in a box
	titleWide   = 8.6 // of a column of a title
	textWide    = 6.8 // of a column of other texts
	titleHigh   = 32
	lineHigh    = 16
	columnGap   = 64
	trackGap    = 12 // between lines that lead back
	loopHigh    = 22 // of a loop above its box
)

// scene is what the svg picture shows, with all places known.
type scene struct {
	fronts, stages []box
	table          table
	group          rect // around the stages
	lines          []curve
	loops          []rect // stages with an edge to themselves
	backs          []poly // edges that close longer cycles
	loopback       []poly // from the stages to the fronts
	label          point  // of the loopback
	wide, high     float64

	layout  *layout
	columns []column
}

type point struct{ x, y float64 }

// poly is a line with corners.
type poly []point

type rect struct{ x, y, w, h float64 }

func (r rect) middle() float64 { return r.y + r.h/2 }
func (r rect) right() float64  { return r.x + r.w }
func (r rect) bottom() float64 { return r.y + r.h }

// box is a box with a title and lines of text.
type box struct {
	rect
	class string
	title string
	lines []string
	whole string // all of its text
}

// table is the box of the routes.
type table struct {
	rect
	rows []tableRow
}

type tableRow struct {
	rect
	text, terms string
	whole       string
}

// curve is a line to the right, and then straight on to through where it passes
// a layer.
type curve struct {
	from, to point
	through  float64
	arrow    bool
}

// column is where a layer stands.
type column struct {
	x, w        float64
	left, right []int // stages with lines that lead back beside it: to it, from it
}

// newBox measures a box.
func newBox(class, title string, lines []string) box {
	b := box{class: class, title: cut(clean(title), mostColumns), whole: strings.Join(append([]string{clean(title)}, lines...), "\n")}
	b.w = max(leastWide, titleWide*float64(width(b.title))+2*paddingX)
	for _, l := range lines {
		l = cut(l, mostColumns)
		b.lines = append(b.lines, l)
		b.w = max(b.w, textWide*float64(width(l))+2*paddingX)
	}
	b.h = titleHigh + lineHigh*float64(len(lines)) + 4
	return b
}

// newScene places everything; it returns false where there is too much.
func newScene(g *Graph) (*scene, bool) {
	p := newPaths(g)
	edges := p.edges(g)
	l, ok := newLayout(g, &p, edges)
	if !ok {
		return nil, false
	}
	s := &scene{layout: l}
	s.makeBoxes(g, edges)
	l.arrange()
	l.place()
	s.placeColumns(edges)
	s.placeStages()
	bottom := s.drawBacks(edges)
	s.drawGroup(bottom)
	s.drawLines()
	s.drawLoopback()
	s.frame()
	return s, true
}

// makeBoxes measures what there is to show. The middle of the page is at 0.
func (s *scene) makeBoxes(g *Graph, edges []edge) {
	for i := range g.Fronts {
		s.fronts = append(s.fronts, newBox("front", g.Fronts[i].label(), g.Fronts[i].lines()))
	}
	s.stackFronts()
	s.makeTable(g)
	for i := range g.Stages {
		class := "go"
		switch st := &g.Stages[i]; {
		case st.isOutside():
			class = "outside"
		case st.Worker == "":
			class = "command"
		}
		b := newBox(class, g.Stages[i].Name, g.Stages[i].lines())
		s.stages = append(s.stages, b)
		s.layout.cells[s.layout.stage[i]].height = b.h
	}
	for _, e := range edges {
		if e.from == e.to {
			c := &s.layout.cells[s.layout.stage[e.to]]
			c.height, c.port = c.height+loopHigh, loopHigh/2
		}
	}
}

// stackFronts places the fronts below one another. Where there are several the
// loopback comes from their left.
func (s *scene) stackFronts() {
	const gap = 20
	wide, high := 0.0, -float64(gap)
	for _, f := range s.fronts {
		wide, high = max(wide, f.w), high+f.h+gap
	}
	x, y := float64(margin), -high/2
	if len(s.fronts) > 1 {
		x += 20
	}
	for i := range s.fronts {
		f := &s.fronts[i]
		f.x, f.y, f.w = x, y, wide
		y += f.h + gap
	}
}

// makeTable places the routes.
func (s *scene) makeTable(g *Graph) {
	t := &s.table
	t.w, t.h = leastWide, titleHigh
	for i := range g.Routes {
		r := &g.Routes[i]
		row := tableRow{text: fmt.Sprintf("%d  %s", i+1, r.pattern()), terms: r.terms()}
		row.whole = strings.TrimSpace(row.text + "\n" + row.terms)
		row.text, row.terms = cut(row.text, mostColumns), cut(row.terms, mostColumns)
		row.h = lineHigh + 10
		if row.terms != "" {
			row.h += lineHigh - 2
		}
		t.w = max(t.w, textWide*float64(width(row.text))+2*paddingX, textWide*float64(width(row.terms)+3)+2*paddingX)
		row.y = t.h
		t.h += row.h
		t.rows = append(t.rows, row)
	}
	if len(s.fronts) > 0 {
		t.x = s.fronts[0].right() + columnGap
	}
	t.y = -t.h / 2
	for i := range t.rows {
		row := &t.rows[i]
		row.x, row.w, row.y = t.x, t.w, row.y+t.y
		s.layout.rows[i].y = row.middle()
	}
}

// placeColumns gives each layer its place from left to right, with room beside
// it for the lines that lead back and for those that climb.
func (s *scene) placeColumns(edges []edge) {
	s.columns = make([]column, len(s.layout.layers))
	for _, e := range edges {
		if !e.back || e.from == e.to {
			continue
		}
		from, to := &s.columns[s.layerOf(e.from)], &s.columns[s.layerOf(e.to)]
		if !slices.Contains(from.right, e.to) {
			from.right = append(from.right, e.to)
		}
		if !slices.Contains(to.left, e.to) {
			to.left = append(to.left, e.to)
		}
	}
	x := s.table.right() + margin
	for i := range s.columns {
		c := &s.columns[i]
		x += columnGap + trackGap*float64(len(c.left)) + s.climb(i)
		c.x = x
		for _, at := range s.layout.layers[i] {
			if cell := s.layout.cells[at]; !cell.passes {
				c.w = max(c.w, s.stages[cell.stage].w)
			}
		}
		x += c.w + trackGap*float64(len(c.right))
	}
}

func (s *scene) layerOf(stage int) int { return s.layout.cells[s.layout.stage[stage]].layer }

// climb returns how much wider the gap before a layer has to be for its
// steepest line.
func (s *scene) climb(layer int) float64 {
	steepest := 0.0
	for _, at := range s.layout.layers[layer] {
		c := &s.layout.cells[at]
		for _, b := range c.before {
			steepest = max(steepest, math.Abs(s.layout.cells[b].portY()-c.portY()))
		}
		for _, r := range c.rows {
			steepest = max(steepest, math.Abs(s.layout.rows[r].y-c.portY()))
		}
	}
	return min(steepest*0.2, 90)
}

// placeStages puts the stages' boxes into their cells, all of a layer as wide.
func (s *scene) placeStages() {
	for i := range s.stages {
		c := &s.layout.cells[s.layout.stage[i]]
		b := &s.stages[i]
		b.x, b.w = s.columns[c.layer].x, s.columns[c.layer].w
		b.y = c.portY() - b.h/2
	}
}

// frame moves everything below the upper margin, and measures the page.
func (s *scene) frame() {
	top := min(s.group.y, s.table.y)
	if len(s.fronts) > 0 {
		top = min(top, s.fronts[0].y)
	}
	s.move(margin - top)
	s.wide = s.group.right() + margin
	for _, p := range s.loopback {
		for _, at := range p {
			s.high = max(s.high, at.y)
		}
	}
	s.high = max(s.high, s.group.bottom(), s.table.bottom()) + margin
}

func (s *scene) move(dy float64) {
	for i := range s.fronts {
		s.fronts[i].y += dy
	}
	for i := range s.stages {
		s.stages[i].y += dy
	}
	for i := range s.table.rows {
		s.table.rows[i].y += dy
	}
	for i := range s.loops {
		s.loops[i].y += dy
	}
	for i := range s.lines {
		s.lines[i].from.y += dy
		s.lines[i].to.y += dy
	}
	for _, p := range append(slices.Clone(s.backs), s.loopback...) {
		for i := range p {
			p[i].y += dy
		}
	}
	s.table.y += dy
	s.group.y += dy
	s.label.y += dy
}
