package graph

import (
	"bytes"
	"fmt"
	"strings"
)

// drawDot writes Graphviz's language.
func drawDot(g *Graph) []byte {
	var out bytes.Buffer
	p := newPaths(g)
	out.WriteString("digraph butterfly {\n" +
		"  rankdir=LR; nodesep=0.3; ranksep=0.8; compound=true;\n" +
		"  node [shape=box, style=\"rounded,filled\", fillcolor=white, fontname=\"Helvetica\"];\n" +
		"  edge [fontname=\"Helvetica\", fontsize=10];\n")
	for i := range g.Fronts {
		f := &g.Fronts[i]
		fmt.Fprintf(&out, "  %s [label=%s, fillcolor=\"#eef4ff\"];\n", dotID("front", f.Name), dotText(f.label(), f.lines()...))
	}
	for i := range g.Routes {
		r := &g.Routes[i]
		fmt.Fprintf(&out, "  route%d [label=%s, shape=plain];\n", i, dotText(r.pattern(), nonEmpty(r.terms())...))
	}
	out.WriteString("  subgraph cluster_stages {\n    label=stages; style=rounded; color=gray; fontname=\"Helvetica\";\n")
	for i := range g.Stages {
		s := &g.Stages[i]
		fmt.Fprintf(&out, "    %s [label=%s];\n", dotID("stage", s.Name), dotText(s.Name, s.lines()...))
	}
	out.WriteString("  }\n")
	for i := range g.Routes {
		for _, f := range g.Fronts {
			fmt.Fprintf(&out, "  %s -> route%d [arrowhead=none];\n", dotID("front", f.Name), i)
		}
		if to, ok := p.index[g.Routes[i].Stage]; ok {
			fmt.Fprintf(&out, "  route%d -> %s;\n", i, dotID("stage", g.Stages[to].Name))
		}
	}
	for _, e := range p.edges(g) {
		attributes := ""
		if e.back {
			attributes = " [label=\"↺\", color=\"#d97706\", fontcolor=\"#d97706\"]"
		}
		fmt.Fprintf(&out, "  %s -> %s%s;\n", dotID("stage", g.Stages[e.from].Name), dotID("stage", g.Stages[e.to].Name), attributes)
	}
	if len(g.Stages) > 0 {
		for _, f := range g.Fronts {
			fmt.Fprintf(&out, "  %s -> %s [style=dashed, label=loopback, constraint=false, ltail=cluster_stages, color=gray, fontcolor=gray];\n",
				dotID("stage", g.Stages[len(g.Stages)-1].Name), dotID("front", f.Name))
		}
	}
	out.WriteString("}\n")
	return out.Bytes()
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func dotID(kind, name string) string { return dotQuote(kind + " " + name) }

// dotText returns a label of several lines.
func dotText(title string, lines ...string) string {
	return dotQuote(strings.Join(append([]string{title}, lines...), "\n"))
}

func dotQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}
