package graph_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// FuzzParse wants no panic, and either a graph that everything can be done with
// or problems that say where.
func FuzzParse(f *testing.F) {
	for _, folder := range []string{"good", "bad", "warn"} {
		files, err := filepath.Glob(filepath.Join("testdata", folder, "*.yaml"))
		require.NoError(f, err)
		require.NotEmpty(f, files)
		for _, name := range files {
			data, err := os.ReadFile(name)
			require.NoError(f, err)
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := graph.Parse([]graph.File{{Name: "fuzz.yaml", Data: data}}, checked())
		if err != nil {
			var invalid *graph.Invalid
			require.ErrorAs(t, err, &invalid)
			assert.Nil(t, g)
			assert.NotEmpty(t, invalid.Problems)
			for _, p := range invalid.Problems {
				assert.Equal(t, "fuzz.yaml", p.Position.File, "%v", p)
			}
			return
		}
		require.NotEmpty(t, g.Fronts)
		for _, r := range g.Routes {
			_, ok := g.Stage(r.Stage)
			assert.True(t, ok, r.Stage)
		}
		g.CheckRoles(g.AllRoles()...)
		graph.NewRouter(g).Match(graph.Request{Method: "GET", Path: "/", Host: "x"})
		for _, format := range graph.Formats() {
			require.NoError(t, g.Draw(io.Discard, format))
		}
	})
}
