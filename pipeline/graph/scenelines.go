package graph

import (
	"math"
	"slices"
)

// track is the level part of all edges that lead back to one stage.
type track struct {
	to         int
	first, end int // layers that it spans
	y          float64
}

// drawBacks draws the edges that close cycles below the boxes that they pass,
// and loops above theirs. It returns how far down that is.
func (s *scene) drawBacks(edges []edge) float64 {
	var tracks []track
	for _, e := range edges {
		i := slices.IndexFunc(tracks, func(t track) bool { return t.to == e.to })
		switch {
		case !e.back:
		case e.from == e.to:
			s.loops = append(s.loops, s.stages[e.to].rect)
		case i < 0:
			tracks = append(tracks, track{to: e.to, first: s.layerOf(e.to), end: s.layerOf(e.from)})
		default:
			tracks[i].end = max(tracks[i].end, s.layerOf(e.from))
		}
	}
	slices.SortStableFunc(tracks, func(a, b track) int { return (a.end - a.first) - (b.end - b.first) })
	bottom := s.lowest(0, len(s.columns)-1)
	for i := range tracks {
		t := &tracks[i]
		t.y = s.lowest(t.first, t.end) + 2*trackGap
		for _, o := range tracks[:i] {
			if t.first <= o.end && o.first <= t.end {
				t.y = max(t.y, o.y+trackGap)
			}
		}
		bottom = max(bottom, t.y)
	}
	for _, e := range edges {
		if e.back && e.from != e.to {
			i := slices.IndexFunc(tracks, func(t track) bool { return t.to == e.to })
			s.backs = append(s.backs, s.back(e, tracks[i].y))
		}
	}
	return bottom
}

// lowest returns how far down the cells of some layers are.
func (s *scene) lowest(first, last int) float64 {
	bottom := math.Inf(-1)
	for i := range s.layout.cells {
		if c := &s.layout.cells[i]; first <= c.layer && c.layer <= last {
			bottom = max(bottom, c.y+c.height/2)
		}
	}
	return bottom
}

// back is the way of an edge that leads back: out to the right, down beside the
// column, to the left on its track, and up to its stage.
func (s *scene) back(e edge, track float64) poly {
	from, to := s.stages[e.from], s.stages[e.to]
	out, in := s.columns[s.layerOf(e.from)], s.columns[s.layerOf(e.to)]
	right := from.right() + 14 + trackGap*float64(slices.Index(out.right, e.to))
	left := to.x - 22 - trackGap*float64(slices.Index(in.left, e.to))
	below := func(b box) float64 { return b.bottom() - 12 }
	return poly{
		{from.right(), below(from)}, {right, below(from)}, {right, track},
		{left, track}, {left, below(to)}, {to.x, below(to)},
	}
}

// drawGroup draws the frame around the stages.
func (s *scene) drawGroup(bottom float64) {
	top := 0.0
	for i := range s.layout.cells {
		c := &s.layout.cells[i]
		top = min(top, c.y-c.height/2)
	}
	if len(s.columns) == 0 {
		s.group = rect{s.table.right() + columnGap, -40, leastWide, 80}
		return
	}
	first, last := s.columns[0], s.columns[len(s.columns)-1]
	x := first.x - 24 - trackGap*float64(len(first.left))
	right := last.x + last.w + 22 + trackGap*float64(len(last.right))
	s.group = rect{x, top - 32, right - x, bottom + 20 - (top - 32)}
}

// drawLines draws the ways to the stages: from the fronts to the routes, from
// the routes on, and from stage to stage.
func (s *scene) drawLines() {
	for _, f := range s.fronts {
		s.lines = append(s.lines, curve{from: point{f.right(), f.middle()}, to: point{s.table.x, s.table.middle()}, arrow: true})
	}
	for i, r := range s.layout.rows {
		if r.to >= 0 {
			row := s.table.rows[i]
			s.lines = append(s.lines, s.curveTo(point{row.right(), row.middle()}, r.to))
		}
	}
	for i := range s.layout.cells {
		c := &s.layout.cells[i]
		column := s.columns[c.layer]
		for _, to := range c.after {
			s.lines = append(s.lines, s.curveTo(point{column.x + column.w, c.portY()}, to))
		}
	}
}

func (s *scene) curveTo(from point, cell int) curve {
	c := &s.layout.cells[cell]
	column := s.columns[c.layer]
	l := curve{from: from, to: point{column.x, c.portY()}, arrow: !c.passes}
	if c.passes {
		l.through = column.x + column.w
	}
	return l
}

// drawLoopback draws the way of answers: below everything to the only front
// from below, to several from the left.
func (s *scene) drawLoopback() {
	if len(s.fronts) == 0 {
		return
	}
	lowest := s.fronts[len(s.fronts)-1]
	y := max(s.group.bottom(), s.table.bottom(), lowest.bottom()) + 34
	x := lowest.x + lowest.w/2
	start := poly{{s.group.x + 40, s.group.bottom()}, {s.group.x + 40, y}}
	s.label = point{x + 14, y - 7}
	if len(s.fronts) == 1 {
		s.loopback = []poly{append(start, point{x, y}, point{x, lowest.bottom()})}
		return
	}
	for _, f := range s.fronts {
		s.loopback = append(s.loopback, append(slices.Clone(start), point{margin, y}, point{margin, f.middle()}, point{f.x, f.middle()}))
	}
}
