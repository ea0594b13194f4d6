package graph

import (
	"bytes"
	"fmt"
	"strings"
)

// drawMermaid writes a flowchart of Mermaid.
func drawMermaid(g *Graph) []byte {
	var out bytes.Buffer
	p := newPaths(g)
	out.WriteString("flowchart LR\n")
	for i := range g.Fronts {
		f := &g.Fronts[i]
		fmt.Fprintf(&out, "  front%d([%s])\n", i, mermaidText(f.label(), f.lines()...))
	}
	out.WriteString("  subgraph stages\n")
	for i := range g.Stages {
		s := &g.Stages[i]
		fmt.Fprintf(&out, "    stage%d(%s)\n", i, mermaidText(s.Name, s.lines()...))
	}
	out.WriteString("  end\n")
	for i := range g.Routes {
		r := &g.Routes[i]
		fmt.Fprintf(&out, "  route%d[/%s/]\n", i, mermaidText(r.pattern(), nonEmpty(r.terms())...))
		for j := range g.Fronts {
			fmt.Fprintf(&out, "  front%d --- route%d\n", j, i)
		}
		if to, ok := p.index[r.Stage]; ok {
			fmt.Fprintf(&out, "  route%d --> stage%d\n", i, to)
		}
	}
	for _, e := range p.edges(g) {
		arrow := "-->"
		if e.back {
			arrow = "-->|↺|"
		}
		fmt.Fprintf(&out, "  stage%d %s stage%d\n", e.from, arrow, e.to)
	}
	for i := range g.Fronts {
		fmt.Fprintf(&out, "  stages -.->|loopback| front%d\n", i)
	}
	return out.Bytes()
}

// mermaidText returns a label of several lines in quotes. Mermaid knows no
// escapes but #code; and takes < and & for HTML.
func mermaidText(title string, lines ...string) string {
	escape := strings.NewReplacer("#", "#35;", `"`, "#quot;", "<", "#lt;", ">", "#gt;", "&", "#amp;", "`", "#96;")
	parts := []string{escape.Replace(title)}
	for _, l := range lines {
		parts = append(parts, escape.Replace(l))
	}
	return `"` + strings.Join(parts, "<br>") + `"`
}
