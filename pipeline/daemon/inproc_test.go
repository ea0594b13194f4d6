package daemon

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// Of a graph without endpoints those are left that workers which are started
// elsewhere have been told.
func TestEndpointsThatOthersWereTold(t *testing.T) {
	const text = `
version: 1
front: {loopback: ipc:///l, interrupt: ipc:///i}
routes: [{prefix: /, stage: first}]
stages:
  first: {worker: w, next: [outside], upstream: ipc:///fu, downstream: ipc:///fd}
  outside: {external: true, next: [last], upstream: ipc:///ou, downstream: ipc:///od}
  last: {worker: w, upstream: ipc:///lu, downstream: ipc:///ld}
`
	parse := func(text string) *graph.Graph {
		g, err := graph.Parse([]graph.File{{Name: "g.yaml", Data: []byte(text)}}, graph.Options{})
		require.NoError(t, err)
		return g
	}
	g := parse(text)
	bare := withoutEndpoints(g)
	assert.Equal(t, "ipc:///l", bare.Fronts[0].Loopback.Bind)
	ends := func(s graph.Stage) [2]string { return [2]string{s.Upstream.Bind, s.Downstream.Bind} }
	assert.Equal(t, [2]string{}, ends(bare.Stages[0]))
	assert.Equal(t, [2]string{"", "ipc:///od"}, ends(bare.Stages[1]), "only our proxies send to it")
	assert.Equal(t, [2]string{"ipc:///lu", ""}, ends(bare.Stages[2]), "it forwards there")
	assert.Equal(t, "ipc:///fu", g.Stages[0].Upstream.Bind, "the graph itself is as it was")
	assert.True(t, networked(bare))

	g.Stages[1].External, g.Stages[1].Worker = false, "w"
	bare = withoutEndpoints(g)
	assert.False(t, networked(bare))
	assert.Equal(t, "ipc:///l", g.Fronts[0].Loopback.Bind)
}
