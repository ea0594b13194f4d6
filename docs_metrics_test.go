package butterfly_test

import (
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/examples/primes"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// everything is a graph whose process has every kind of part.
const everything = `
version: 1
front: {listen: "127.0.0.1:0"}
routes: [{prefix: /, stage: parse}]
stages:
  parse: {worker: primes.parse, next: [compute]}
  compute: {command: [sleep, "60"], proxies: 2}
`

// Every metric that is served is in the table of docs/operations.md with its
// kind and labels, and none besides; their names are as Prometheus wants them.
func TestOperationsNamesEveryMetric(t *testing.T) {
	text := scrapeEverything(t)
	served := metricRows(text)
	require.Contains(t, served, "butterfly_stage_queued", text)
	for _, of := range []string{`proxy="",stage="parse"`, `proxy="1",stage="compute"`, `proxy="2",stage="compute"`} {
		assert.Contains(t, text, "butterfly_stage_queued{"+of+"} 0\n")
	}

	page := read(t, "docs/operations.md")
	documented := make(map[string]string)
	for _, m := range regexp.MustCompile("(?m)^\\| `(butterfly_[a-z_]+)` \\| ([a-z]+) \\| ([^|]*) \\|").FindAllStringSubmatch(page, -1) {
		assert.NotContains(t, documented, m[1], "twice in the table")
		documented[m[1]] = m[2] + " " + strings.ReplaceAll(m[3], "`", "")
	}
	for name, row := range served {
		assert.Equal(t, row, documented[name], name)
	}
	for _, name := range slices.Sorted(maps.Keys(documented)) {
		assert.Contains(t, served, name, "it is in the table only")
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	require.NoError(t, err)
	assert.Empty(t, problems)
}

// scrapeEverything returns what a process with all kinds of parts serves, after a
// request.
func scrapeEverything(t *testing.T) string {
	t.Helper()
	g, err := graph.Parse([]graph.File{{Name: "everything.yaml", Data: []byte(everything)}}, graph.Options{})
	require.NoError(t, err)
	dir, err := os.MkdirTemp("", "bf") // a socket's path must be short
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	m := cluster.NewMetrics("test")
	said := newSaid()
	s, err := cluster.NewService(cluster.ServiceConfig{
		Graph: g, Workers: primes.Workers(), RunDir: dir, Metrics: m, Logger: slog.New(said),
	})
	require.NoError(t, err)
	parts, err := s.Parts()
	require.NoError(t, err)
	all, err := m.Serve("127.0.0.1:0", parts, slog.New(said))
	require.NoError(t, err)
	run(t, all.Run)
	front := said.url(t, "serving")
	status, _ := ask(t, http.MethodGet, front+"/livez", "")
	assert.Equal(t, 200, status)
	status, text := ask(t, http.MethodGet, said.url(t, "metrics"), "")
	require.Equal(t, 200, status)
	return text
}

// metricRows returns the kind and labels of each of our metrics in an exposition,
// by its name.
func metricRows(text string) map[string]string {
	rows := make(map[string]string)
	kinds := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (butterfly_[a-z_]+) ([a-z]+)$`).FindAllStringSubmatch(text, -1) {
		kinds[m[1]] = m[2]
	}
	label := regexp.MustCompile(`([a-z]+)="`)
	for _, m := range regexp.MustCompile(`(?m)^(butterfly_[a-z_]+)(?:\{(.*)\})? `).FindAllStringSubmatch(text, -1) {
		name := m[1]
		if kinds[name] == "" { // a histogram's
			name = name[:strings.LastIndexByte(name, '_')]
		}
		var labels []string
		for _, l := range label.FindAllStringSubmatch(m[2], -1) {
			if l[1] != "le" {
				labels = append(labels, l[1])
			}
		}
		rows[name] = fmt.Sprint(kinds[name], " ", strings.Join(labels, ", "))
	}
	return rows
}
