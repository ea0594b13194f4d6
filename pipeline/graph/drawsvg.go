package graph

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// svgHead is filled with width and height, twice.
const svgHead = `<svg xmlns="http://www.w3.org/2000/svg" width="%s" height="%s" viewBox="0 0 %s %s" role="img">
<title>butterfly graph</title>
<style>
text { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 11px; fill: #475569 }
.name { font-family: system-ui, "Segoe UI", Helvetica, Arial, "DejaVu Sans", sans-serif; font-size: 14px; font-weight: 600; fill: #0f172a }
.note { font-family: system-ui, "Segoe UI", Helvetica, Arial, "DejaVu Sans", sans-serif; fill: #64748b }
.faint { fill: #94a3b8 }
.box { stroke-width: 1.5 }
.front { fill: #eff6ff; stroke: #3b82f6 }
.table { fill: #ffffff; stroke: #94a3b8 }
.go { fill: #f0fdf4; stroke: #22a35a }
.command { fill: #fff7ed; stroke: #ea7a1c }
.outside { fill: #faf5ff; stroke: #9254de; stroke-dasharray: 5 3 }
.group { fill: #f8fafc; stroke: #e2e8f0 }
.rule { stroke: #e2e8f0 }
.line { fill: none; stroke: #64748b; stroke-width: 1.5 }
.cycle { fill: none; stroke: #d97706; stroke-width: 1.5 }
.loopback { fill: none; stroke: #94a3b8; stroke-width: 1.5; stroke-dasharray: 6 4 }
</style>
<defs>
<marker id="line" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 8 4 0 8Z" fill="#64748b"/></marker>
<marker id="cycle" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 8 4 0 8Z" fill="#d97706"/></marker>
<marker id="loopback" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 8 4 0 8Z" fill="#94a3b8"/></marker>
</defs>
<rect width="100%%" height="100%%" fill="#ffffff"/>
`

// drawSVG writes a picture that needs no other program.
func drawSVG(g *Graph) ([]byte, error) {
	s, ok := newScene(g)
	if !ok {
		return nil, &DrawError{FormatSVG, "the graph is too large for a picture: draw it as dot"}
	}
	var out svg
	w, h := coordinate(s.wide), coordinate(s.high)
	fmt.Fprintf(&out, svgHead, w, h, w, h)
	out.rect("group", s.group, 12)
	out.text("note", s.group.x+14, s.group.y+20, "stages")
	for _, p := range s.loopback {
		out.poly("loopback", p)
	}
	for _, c := range s.lines {
		out.curve(c)
	}
	for _, p := range s.backs {
		out.poly("cycle", p)
	}
	for _, r := range s.loops {
		out.loop(r)
	}
	for _, b := range s.fronts {
		out.box(b)
	}
	out.table(s.table)
	for _, b := range s.stages {
		out.box(b)
	}
	if len(s.loopback) > 0 {
		out.text("note", s.label.x, s.label.y, "loopback: each stage can answer the front that waits")
	}
	out.WriteString("</svg>\n")
	return out.Bytes(), nil
}

// svg is the text of a picture.
type svg struct{ bytes.Buffer }

// coordinate returns a number to a tenth.
func coordinate(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

func (p point) String() string { return coordinate(p.x) + " " + coordinate(p.y) }

// escaped returns text as XML has it; what XML cannot hold is replaced.
func escaped(s string) string {
	var out strings.Builder
	_ = xml.EscapeText(&out, []byte(s)) // a Builder does not fail
	return out.String()
}

func (o *svg) rect(class string, r rect, round float64) {
	fmt.Fprintf(o, "<rect class=\"%s\" x=\"%s\" y=\"%s\" width=\"%s\" height=\"%s\" rx=\"%s\"/>\n",
		class, coordinate(r.x), coordinate(r.y), coordinate(r.w), coordinate(r.h), coordinate(round))
}

func (o *svg) text(class string, x, y float64, s string) {
	fmt.Fprintf(o, "<text class=\"%s\" x=\"%s\" y=\"%s\" xml:space=\"preserve\">%s</text>\n", class, coordinate(x), coordinate(y), escaped(s))
}

func (o *svg) box(b box) {
	fmt.Fprintf(o, "<g>\n<title>%s</title>\n", escaped(b.whole))
	o.rect("box "+b.class, b.rect, 8)
	o.text("name", b.x+paddingX, b.y+22, b.title)
	for i, l := range b.lines {
		o.text("", b.x+paddingX, b.y+titleHigh+lineHigh*float64(i)+8, l)
	}
	o.WriteString("</g>\n")
}

func (o *svg) table(t table) {
	o.rect("box table", t.rect, 8)
	o.text("name", t.x+paddingX, t.y+21, "routes")
	for _, r := range t.rows {
		fmt.Fprintf(o, "<g>\n<title>%s</title>\n<path class=\"rule\" d=\"M%v H%s\"/>\n", escaped(r.whole), point{r.x, r.y}, coordinate(r.right()))
		o.text("", r.x+paddingX, r.y+17, r.text)
		if r.terms != "" {
			o.text("faint", r.x+paddingX+3*textWide, r.y+17+lineHigh-2, r.terms)
		}
		o.WriteString("</g>\n")
	}
}

// curve leaves and arrives level.
func (o *svg) curve(c curve) {
	bend := (c.to.x - c.from.x) / 2
	d := fmt.Sprintf("M%v C%v %v %v", c.from, point{c.from.x + bend, c.from.y}, point{c.to.x - bend, c.to.y}, c.to)
	if c.through > 0 {
		d += " H" + coordinate(c.through)
	}
	o.path("line", d, c.arrow)
}

func (o *svg) path(class, d string, arrow bool) {
	end := ""
	if arrow {
		end = fmt.Sprintf(" marker-end=\"url(#%s)\"", class)
	}
	fmt.Fprintf(o, "<path class=\"%s\" d=\"%s\"%s/>\n", class, d, end)
}

// loop draws an edge from a box to itself, above it.
func (o *svg) loop(r rect) {
	from, to := r.right()-46, r.right()-22
	const high = loopHigh * 4 / 3 // of the points that draw the curve up
	o.path("cycle", fmt.Sprintf("M%v C%v %v %v", point{from, r.y}, point{from - 6, r.y - high}, point{to + 6, r.y - high}, point{to, r.y}), true)
}

// poly draws a line with round corners.
func (o *svg) poly(class string, p poly) {
	d := "M" + p[0].String()
	for i := 1; i < len(p)-1; i++ {
		d += " L" + toward(p[i], p[i-1]).String() + " Q" + p[i].String() + " " + toward(p[i], p[i+1]).String()
	}
	o.path(class, d+" L"+p[len(p)-1].String(), true)
}

// toward returns the point on the way to another where a corner's bow begins.
func toward(corner, to point) point {
	const bow = 8
	dx, dy := to.x-corner.x, to.y-corner.y
	length := math.Hypot(dx, dy)
	if length == 0 {
		return corner
	}
	part := min(bow, length/2) / length
	return point{corner.x + dx*part, corner.y + dy*part}
}
