package graph_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

func draw(t require.TestingT, g *graph.Graph, f graph.Format) string {
	var out bytes.Buffer
	require.NoError(t, g.Draw(&out, f))
	return out.String()
}

// The pictures are reviewed by looking at them.
func TestDrawings(t *testing.T) {
	extensions := map[graph.Format]string{graph.FormatText: ".txt", graph.FormatDot: ".dot", graph.FormatMermaid: ".mmd", graph.FormatSVG: ".svg"}
	for _, name := range []string{"chain", "diamond", "ten"} {
		g := load(t, filepath.Join("testdata", "draw", name+".yaml"))
		assert.Empty(t, g.Warnings)
		for _, f := range graph.Formats() {
			t.Run(name+"/"+string(f), func(t *testing.T) {
				golden(t, filepath.Join("testdata", "draw", name+extensions[f]), draw(t, g, f))
			})
		}
	}
}

func TestDrawRefuses(t *testing.T) {
	g := load(t, "testdata/good/minimal.yaml")
	var wrong *graph.DrawError
	require.ErrorAs(t, g.Draw(io.Discard, "png"), &wrong)
	assert.Equal(t, `graph: draw "png": want one of [text dot mermaid svg]`, wrong.Error())

	large := new(graph.Graph) // every stage leads to all after it, one by one
	for i := range 1000 {
		s := graph.Stage{Name: fmt.Sprint("s", i)}
		for j := i + 1; j < 1000; j += 1 + (j-i)*(j-i)/8 {
			s.Next = append(s.Next, fmt.Sprint("s", j))
		}
		large.Stages = append(large.Stages, s)
	}
	require.ErrorAs(t, large.Draw(io.Discard, graph.FormatSVG), &wrong)
	assert.NoError(t, large.Draw(io.Discard, graph.FormatDot))
	assert.NoError(t, large.Draw(io.Discard, graph.FormatMermaid))

	full := errors.New("disk full")
	assert.ErrorIs(t, g.Draw(failing{full}, graph.FormatText), full)
}

// A graph with too many lines to count their crossings is drawn all the same.
func TestManyLinesAreDrawn(t *testing.T) {
	g := new(graph.Graph)
	for i := range 150 {
		s := graph.Stage{Name: fmt.Sprint("s", i), Worker: "w"}
		for j := (i/50 + 1) * 50; j < (i/50+2)*50 && j < 150; j++ {
			s.Next = append(s.Next, fmt.Sprint("s", j))
		}
		g.Stages = append(g.Stages, s)
	}
	assert.Equal(t, 5000, strings.Count(draw(t, g, graph.FormatSVG), `<path class="line"`))
	assert.Equal(t, 5000, strings.Count(draw(t, g, graph.FormatText), "│ → s"))
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// What is in the file is text in the picture, whatever characters it has.
func TestDrawingsAreEscaped(t *testing.T) {
	g := load(t, "testdata/good/minimal.yaml")
	g.Stages[0].Worker = ""
	g.Stages[0].Command = []string{`"]; <b>&amp;\` + "\n`#\x01", "中文"}
	for _, f := range graph.Formats() {
		out := draw(t, g, f)
		assert.NotContains(t, out, "\x01", f)
		assert.Contains(t, out, "中文", f)
	}
	assert.Contains(t, draw(t, g, graph.FormatDot), `"greet\n$ \"]; <b>&amp;\\�`)
	assert.Contains(t, draw(t, g, graph.FormatMermaid), `"greet<br>$ #quot;]; #lt;b#gt;#amp;amp;\�#96;#35;� 中文 × 1"`)
	assert.Contains(t, draw(t, g, graph.FormatText), "│ $ \"]; <b>&amp;\\�`#� 中文 × 1 │\n")
	require.NoError(t, wellFormed(draw(t, g, graph.FormatSVG)))
}

func wellFormed(svg string) error {
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// randomGraph is a graph of stages with any edges between them.
func randomGraph(t *rapid.T) *graph.Graph {
	g := new(graph.Graph)
	for i := range rapid.IntRange(1, 3).Draw(t, "fronts") {
		g.Fronts = append(g.Fronts, graph.Front{Name: fmt.Sprint("f", i), Listen: ":80"})
	}
	n := rapid.IntRange(1, 12).Draw(t, "stages")
	name := rapid.Custom(func(t *rapid.T) string { return fmt.Sprint("s", rapid.IntRange(0, n-1).Draw(t, "stage")) })
	for i := range n {
		g.Stages = append(g.Stages, graph.Stage{
			Name:   fmt.Sprint("s", i),
			Worker: rapid.StringMatching(`[a-z]{1,60}`).Draw(t, "worker"),
			Next:   rapid.SliceOfNDistinct(name, 0, min(n, 3), rapid.ID).Draw(t, "next"),
		})
	}
	for range rapid.IntRange(1, 8).Draw(t, "routes") {
		g.Routes = append(g.Routes, graph.Route{Path: "/x", Stage: name.Draw(t, "to")})
	}
	return g
}

// No line of the svg picture crosses a box, no box another, and all are on the
// page.
func TestLinesCrossNoBoxes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		svg := draw(t, randomGraph(t), graph.FormatSVG)
		require.NoError(t, wellFormed(svg))
		boxes, page := rects(svg)
		for i, b := range boxes {
			assert.True(t, page.holds(b.x, b.y) && page.holds(b.x+b.w, b.y+b.h), "%v is not on the page %v", b, page)
			for _, o := range boxes[:i] {
				assert.False(t, b.x < o.x+o.w && o.x < b.x+b.w && b.y < o.y+o.h && o.y < b.y+b.h, "%v lies on %v", b, o)
			}
		}
		for _, m := range regexp.MustCompile(`<path class="(?:line|cycle|loopback)" d="([^"]*)"`).FindAllStringSubmatch(svg, -1) {
			for _, p := range pointsOf(m[1]) {
				assert.True(t, page.holds(p[0], p[1]), "%v of %s is not on the page %v", p, m[1], page)
				for _, b := range boxes {
					assert.False(t, b.holds(p[0], p[1]), "%s crosses %v at %v\n%s", m[1], b, p, svg)
				}
			}
		}
	})
}

type area struct{ x, y, w, h float64 }

// holds reports whether a point is inside, by more than half a unit.
func (a area) holds(x, y float64) bool {
	const slack = 0.5
	return x > a.x+slack && x < a.x+a.w-slack && y > a.y+slack && y < a.y+a.h-slack
}

// rects returns the boxes of a picture, and its page.
func rects(svg string) (boxes []area, page area) {
	number := func(s string) float64 {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			panic(err)
		}
		return f
	}
	for _, m := range regexp.MustCompile(`<rect class="box [a-z]*" x="(\S+)" y="(\S+)" width="(\S+)" height="(\S+)"`).FindAllStringSubmatch(svg, -1) {
		boxes = append(boxes, area{number(m[1]), number(m[2]), number(m[3]), number(m[4])})
	}
	m := regexp.MustCompile(`viewBox="0 0 (\S+) (\S+)"`).FindStringSubmatch(svg)
	return boxes, area{0, 0, number(m[1]), number(m[2])}
}

// pointsOf returns points along a path of the commands M, L, H, C and Q.
func pointsOf(d string) [][2]float64 {
	var points [][2]float64
	at := [2]float64{}
	for _, m := range regexp.MustCompile(`([MLHCQ])([^MLHCQ]*)`).FindAllStringSubmatch(d, -1) {
		var n []float64
		for _, f := range strings.Fields(m[2]) {
			v, err := strconv.ParseFloat(f, 64)
			if err != nil {
				panic(d)
			}
			n = append(n, v)
		}
		if m[1] == "H" {
			n = append(n, at[1])
		}
		through := [][2]float64{at}
		for i := 0; i < len(n); i += 2 {
			through = append(through, [2]float64{n[i], n[i+1]})
		}
		end := through[len(through)-1]
		for step := range 50 {
			if m[1] != "M" {
				points = append(points, bezier(through, float64(step)/50))
			}
		}
		at = end
	}
	return points
}

// bezier returns a point of the curve of the points given (de Casteljau).
func bezier(p [][2]float64, t float64) [2]float64 {
	if len(p) == 1 {
		return p[0]
	}
	var next [][2]float64
	for i := range len(p) - 1 {
		next = append(next, [2]float64{p[i][0] + t*(p[i+1][0]-p[i][0]), p[i][1] + t*(p[i+1][1]-p[i][1])})
	}
	return bezier(next, t)
}

// In the text picture every line that leaves a box for a stage arrives at that
// stage.
func TestTextLanesArrive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := randomGraph(t)
		var picture [][]rune
		for line := range strings.Lines(draw(t, g, graph.FormatText)) {
			picture = append(picture, []rune(strings.TrimSuffix(line, "\n")))
		}
		edges, found := 0, 0
		for _, s := range g.Stages {
			edges += len(s.Next)
		}
		for row, line := range picture {
			if m := regexp.MustCompile(`│ [→↺] (\S+) +├`).FindStringSubmatch(string(line)); m != nil {
				found++
				assert.Contains(t, string(picture[follow(picture, row)]), "┌─ "+m[1]+" ─")
			}
		}
		assert.Equal(t, edges, found)
	})
}

// follow returns the row in which the line arrives that leaves a row's box.
func follow(picture [][]rune, row int) int {
	column := len(string(picture[row])) // to the lane's corner
	for i, r := range picture[row] {
		if r == '├' && i > 5 {
			column = i + 1
			break
		}
	}
	for picture[row][column] == '─' || picture[row][column] == '┼' {
		column++
	}
	for _, step := range []int{-1, 1} {
		for at := row; ; at += step {
			corner := picture[at][column]
			if at != row && corner != '│' && corner != '┼' && arrives(picture[at], column) {
				return at
			}
			if corner == '╮' && step < 0 || corner == '╯' && step > 0 {
				break
			}
		}
	}
	return row
}

// arrives reports whether the line to the left of a lane ends in an arrow.
func arrives(line []rune, column int) bool {
	for column--; line[column] == '─' || line[column] == '┼'; column-- {
	}
	return line[column] == '◀'
}
