package graph_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// Every part that is a process of its own has another port; the whole graph has
// the first, as has its front.
func TestMetricsAtPortsOfTheirOwn(t *testing.T) {
	g := load(t, "testdata/good/whole.yaml")
	assert.Equal(t, ":9464", g.MetricsAt())
	seen := make(map[string]bool)
	for _, r := range g.AllRoles() {
		at := g.MetricsAt(r)
		assert.False(t, seen[at], "%v at %s", r, at)
		seen[at] = true
	}
	at := func(texts ...string) string { return g.MetricsAt(roles(t, texts...)...) }
	assert.Equal(t, ":9464", at("front"))
	assert.Equal(t, ":9465", at("proxy:parse"))
	assert.Equal(t, ":9466", at("workers:parse"))
	assert.Equal(t, ":9465", at("workers:parse", "proxy:parse"), "the first in the graph's order")
	assert.Equal(t, ":9471", at("proxy:legacy"))

	g.Metrics.Listen = "[::1]:65000"
	assert.Equal(t, "[::1]:65002", at("workers:parse"))
	g.Metrics.Listen = "127.0.0.1:0"
	assert.Equal(t, "127.0.0.1:0", at("workers:parse"), "any free port")
	g.Metrics.Listen = ""
	assert.Empty(t, at("workers:parse"))
}

// The only front is known by two names.
func TestMetricsAtOfANamedFront(t *testing.T) {
	g := load(t, "testdata/good/fronts.yaml")
	g.Metrics.Listen = "127.0.0.1:9000"
	last := g.Fronts[len(g.Fronts)-1].Name
	assert.NotEqual(t, "127.0.0.1:9000", g.MetricsAt(graph.Role{Kind: graph.RoleFront, Name: last}))
	g.Fronts = g.Fronts[:1]
	assert.Equal(t, "127.0.0.1:9000", g.MetricsAt(graph.Role{Kind: graph.RoleFront, Name: "front"}))
}
