package butterfly_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "github.com/butterfly-zmq/butterfly"

// rooms is the table of docs/architecture.md: which packages of this module
// each package may import outside of tests. A name that ends in /... stands
// for all packages below it. A package that is not here fails the test: decide
// where it belongs first.
var rooms = map[string][]string{
	".":                      {},
	"internal/wire":          {},
	"internal/httptext":      {"internal/wire"},
	"internal/rawio":         {},
	"internal/spool":         {},
	"internal/stats":         {},
	"internal/metrics":       {"internal/stats"},
	"internal/transport":     {"internal/rawio", "internal/mtls"},
	"internal/mtls":          {},
	"internal/mtls/mtlstest": {"internal/mtls"},
	"internal/supervise":     {},
	"internal/queueing":      {},
	"internal/zmqpeer":       {},
	"internal/relay":         {},
	"internal/freeport":      {},
	"loopback":               {"internal/wire", "internal/transport"},
	"proxy":                  {"internal/wire", "internal/stats", "internal/transport", "internal/queueing", "loopback"},
	"pipeline":               {"internal/wire", "internal/mtls", "internal/stats", "internal/transport", "internal/httptext", "internal/spool", "loopback"},
	"pipeline/pipelinetest":  {"internal/wire", "internal/stats", "internal/transport", "internal/httptext", "internal/spool", "loopback", "pipeline"},
	"pipeline/graph":         {},
	"pipeline/export":        {"pipeline/graph"},
	"httpfront":              {"internal/wire", "internal/stats", "internal/httptext", "internal/rawio", "internal/spool", "internal/queueing", "loopback"},
	"pipeline/cluster": {
		"internal/wire", "internal/mtls", "internal/stats", "internal/metrics", "internal/transport", "internal/httptext", "internal/supervise",
		"loopback", "proxy", "pipeline", "pipeline/graph", "httpfront",
	},
	"pipeline/daemon":   {"loopback", "httpfront", "pipeline", "pipeline/cluster", "pipeline/graph", "pipeline/export"},
	"examples/...":      {"pipeline", "pipeline/daemon"},
	"cmd/prime-serverd": {"pipeline/daemon", "examples/primes", "examples/math"},
	"bench/...":         {"bench/...", "internal/freeport", "internal/relay", "pipeline", "pipeline/daemon", "pipeline/cluster", "examples/..."},
	"internal/e2e/...":  {},
}

// guests says which packages may import a module of others outside of tests.
// Few importers make a library replaceable. One that is not here, or has no
// importers here, is for tests only.
var guests = map[string][]string{
	"github.com/go-zeromq/zmq4":      {"internal/transport"},
	"github.com/valyala/fasthttp":    {"internal/httptext", "httpfront", "bench/bare"},
	"github.com/spf13/cobra":         {"pipeline/daemon"},
	"github.com/spf13/pflag":         {"pipeline/daemon", "bench/..."},
	"github.com/dustin/go-humanize":  {"pipeline/daemon", "bench/..."},
	"github.com/expr-lang/expr":      {"examples/math"},
	"github.com/schollz/progressbar": {"pipeline/daemon"},
	"golang.org/x/term":              {"pipeline/daemon"},
	"golang.org/x/sys":               {"internal/transport", "httpfront", "bench/..."},
	"golang.org/x/sync":              {"loopback", "pipeline/cluster", "bench/..."},
	"golang.org/x/time":              {"loopback", "pipeline", "httpfront", "bench/..."},
	"gopkg.in/yaml.v3":               {"pipeline/graph"},
	"github.com/prometheus":          {"internal/metrics"},
	"golang.org/x/net":               {"internal/metrics"},
	"github.com/santhosh-tekuri":     {},
	"github.com/stretchr/testify":    {"internal/mtls/mtlstest"},
	"go.uber.org/goleak":             {},
	"pgregory.net/rapid":             {},
	"github.com/compose-spec":        {},
	"k8s.io":                         {},
	"sigs.k8s.io":                    {},
}

// testOnly are packages of ours that no other package imports outside of tests,
// so that no binary links them.
var testOnly = []string{"internal/zmqpeer", "internal/mtls/mtlstest", "internal/e2e/...", "pipeline/pipelinetest"}

// TestRoomsKnowOnlyWhomTheyMay reads all files, those of other systems too.
func TestRoomsKnowOnlyWhomTheyMay(t *testing.T) {
	imports := productionImports(t)
	require.Contains(t, imports, "proxy", "the walk found no packages")
	for _, room := range slices.Sorted(maps.Keys(imports)) {
		known, ok := lookup(rooms, room)
		assert.True(t, ok, "%s is not in the table of rooms", room)
		for _, imported := range imports[room] {
			own, ours := strings.CutPrefix(imported, module+"/")
			switch {
			case ours:
				assert.True(t, covers(known, own), "%s must not import %s", room, own)
				assert.False(t, covers(testOnly, own), "%s imports %s, which is for tests", room, own)
			case strings.Contains(imported, "."):
				assert.True(t, covers(mayImport(imported), room), "%s must not import %s", room, imported)
			}
		}
	}
}

// TestTheTableIsOfWhatExists keeps the table from growing stale.
func TestTheTableIsOfWhatExists(t *testing.T) {
	imports := productionImports(t)
	for room := range rooms {
		if room == "internal/e2e/..." {
			continue // tests only: no package but for tests
		}
		found := false
		for p := range imports {
			found = found || matches(room, p)
		}
		assert.True(t, found, "no package %s", room)
	}
	for _, pair := range [][2]string{{"proxy", "pipeline"}, {"proxy", "httpfront"}, {"pipeline", "httpfront"}} {
		assert.NotContains(t, rooms[pair[0]], pair[1])
		assert.NotContains(t, rooms[pair[1]], pair[0])
	}
}

// productionImports returns what each package imports, by its folder, tests
// left out.
func productionImports(t *testing.T) map[string][]string {
	t.Helper()
	imports := make(map[string][]string)
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && file != "." && (name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		room := path.Dir(filepath.ToSlash(file))
		imports[room] = append(imports[room], "unsafe") // known even without imports
		for _, i := range f.Imports {
			imported, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			imports[room] = append(imports[room], imported)
		}
		return nil
	})
	require.NoError(t, err)
	return imports
}

// mayImport returns the rooms that may import a package of others: those of
// the longest entry of guests that it belongs to.
func mayImport(imported string) []string {
	var best string
	for m := range guests {
		if (imported == m || strings.HasPrefix(imported, m+"/")) && len(m) > len(best) {
			best = m
		}
	}
	return guests[best]
}

// lookup finds a room in the table, by its name or by that of a folder above.
func lookup(table map[string][]string, room string) ([]string, bool) {
	if known, ok := table[room]; ok {
		return known, true
	}
	for pattern, known := range table {
		if matches(pattern, room) {
			return known, true
		}
	}
	return nil, false
}

func covers(patterns []string, p string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(pattern, p) })
}

// matches reports whether pattern is p, or stands for it with /...
func matches(pattern, p string) bool {
	folder, below := strings.CutSuffix(pattern, "/...")
	return pattern == p || below && (p == folder || strings.HasPrefix(p, folder+"/"))
}
