package graph_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

var rewrite = flag.Bool("rewrite", false, "write the outputs in testdata anew; review the difference")

// checked are the options of the files with mistakes.
func checked() graph.Options {
	environment := map[string]string{
		"TEXT": "text", "EMPTY": "", "NUMBER": "3", "LIST": "[a]", "LARGE": strings.Repeat("x", 8<<10),
	}
	return graph.Options{
		LookupEnv: func(name string) (string, bool) {
			v, ok := environment[name]
			return v, ok
		},
		Workers: []string{"primes.parse", "primes.compute", "echo"},
	}
}

// mistakes returns the files and folders of a folder of testdata.
func mistakes(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join("testdata", folder))
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		if e.IsDir() || filepath.Ext(e.Name()) == ".yaml" {
			names = append(names, e.Name())
		}
	}
	require.NotEmpty(t, names)
	return names
}

// Each file of testdata/bad has one mistake, and beside it what is said of it.
func TestEveryMistakeIsReported(t *testing.T) {
	for _, name := range mistakes(t, "bad") {
		t.Run(name, func(t *testing.T) {
			g, err := loadHere(t, "bad", name)
			require.Nil(t, g)
			var invalid *graph.Invalid
			require.True(t, errors.As(err, &invalid), "%v", err)
			require.NotEmpty(t, invalid.Problems)
			golden(t, filepath.Join("testdata", "bad", strings.TrimSuffix(name, ".yaml")+".txt"), invalid.Error()+"\n")
			for _, p := range invalid.Problems {
				assert.NotEmpty(t, p.Position.File, "%v", p)
				assert.NotZero(t, p.Position.Line, "%v", p)
			}
		})
	}
}

// What may be meant is said, and is no error.
func TestEveryDoubtIsReported(t *testing.T) {
	for _, name := range mistakes(t, "warn") {
		t.Run(name, func(t *testing.T) {
			g, err := loadHere(t, "warn", name)
			require.NoError(t, err)
			require.NotEmpty(t, g.Warnings)
			var lines []string
			for _, p := range g.Warnings {
				assert.True(t, p.Warning)
				lines = append(lines, p.String()+"\n")
			}
			golden(t, filepath.Join("testdata", "warn", strings.TrimSuffix(name, ".yaml")+".txt"), strings.Join(lines, ""))
		})
	}
}

// loadHere loads a file or folder of testdata under names that are the same on
// every system.
func loadHere(t *testing.T, folder, name string) (*graph.Graph, error) {
	t.Helper()
	at := filepath.Join("testdata", folder, name)
	info, err := os.Stat(at)
	require.NoError(t, err)
	names := []string{at}
	if info.IsDir() {
		names, err = filepath.Glob(filepath.Join(at, "*.y*ml"))
		require.NoError(t, err)
	}
	var files []graph.File
	for _, n := range names {
		data, err := os.ReadFile(n)
		require.NoError(t, err)
		files = append(files, graph.File{Name: filepath.Base(n), Data: data})
	}
	return graph.Parse(files, checked())
}

// golden compares with what a file holds, or writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *rewrite {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}
