package graph_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// load loads files of testdata, without an environment.
func load(t *testing.T, paths ...string) *graph.Graph {
	t.Helper()
	g, err := graph.Load(paths, graph.Options{LookupEnv: noEnv})
	require.NoError(t, err)
	return g
}

func noEnv(string) (string, bool) { return "", false }

func TestLoadReadsEverything(t *testing.T) {
	g := load(t, "testdata/good/whole.yaml")
	require.Len(t, g.Fronts, 1)
	f, ok := g.Front("front")
	require.True(t, ok)
	assert.Equal(t, "127.0.0.1:8002", f.Listen)
	assert.Equal(t, graph.Endpoint{Bind: "tcp://127.0.0.1:7101", Connect: "tcp://127.0.0.1:7101"}, f.Loopback)
	assert.Equal(t, graph.Endpoint{Bind: "tcp://*:7102", Connect: "tcp://front.example:7102"}, f.Interrupt)
	assert.Equal(t, 30*time.Second, f.Timeout)
	assert.Equal(t, graph.Size(10<<20), f.MaxBody)
	assert.Equal(t, 10000, f.MaxPending)
	assert.Equal(t, "/livez", f.Live)

	require.Len(t, g.Routes, 4)
	r := g.Routes[1]
	assert.Equal(t, "/echo/", r.Prefix)
	assert.Equal(t, "*.example.com", r.Host)
	assert.Equal(t, "echo", r.Stage)
	assert.Equal(t, 2*time.Second, r.Timeout)
	assert.Equal(t, "batch", r.Priority)
	assert.Equal(t, []string{"GET", "POST"}, g.Routes[0].Methods)
	assert.Equal(t, map[string]string{"X-Kind": "cheap"}, g.Routes[2].Header)
	assert.Equal(t, graph.Position{File: "testdata/good/whole.yaml", Line: 13, Column: 5}, r.Position)

	require.Len(t, g.Stages, 4)
	compute, ok := g.Stage("compute")
	require.True(t, ok)
	assert.Equal(t, "primes.compute", compute.Worker)
	assert.Equal(t, 8, compute.Count)
	assert.Equal(t, []string{"compute"}, compute.Next)
	assert.Equal(t, 100000, compute.MaxVisits)
	assert.Equal(t, graph.Position{File: "testdata/good/whole.yaml", Line: 23, Column: 3}, compute.Position)
	echo, ok := g.Stage("echo")
	require.True(t, ok)
	assert.Equal(t, []string{"python3", "examples/python/echo_worker.py"}, echo.Command)
	legacy, ok := g.Stage("legacy")
	require.True(t, ok)
	assert.Equal(t, graph.CompatPrimeServer, legacy.Compat)
	assert.Equal(t, 200000, g.Limits.MaxHops)
	_, ok = g.Stage("nobody")
	assert.False(t, ok)
}
