package daemon_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/daemon"
)

// graphs are the files of a directory, by name.
var graphs = map[string]string{
	"good.yaml": `
version: 1
front: {listen: "127.0.0.1:0"}
routes: [{prefix: /, stage: work}]
stages: {work: {worker: work}}
`,
	"warned.yaml": `
front: {listen: "127.0.0.1:0"}
routes: [{prefix: /, stage: work}]
stages: {work: {worker: work}}
`,
	"bad.yaml": `
version: 1
routes: [{prefix: /, stage: worx}]
stages: {work: {worker: worx}}
`,
	"one.yaml": `
version: 1
routes: [{prefix: /, stage: worx}]
stages: {work: {worker: work}}
`,
	"taken.yaml": `
version: 1
front: {listen: "ADDRESS"}
routes: [{prefix: /, stage: work}]
stages: {work: {worker: work}}
`,
	"log.yaml": `
version: 1
front: {listen: "127.0.0.1:0", access_log: DIR/no/file}
routes: [{prefix: /, stage: work}]
stages: {work: {worker: work}}
`,
	"large.yaml": `
version: 1
front: {listen: "127.0.0.1:0", max_body: 1GiB}
routes: [{prefix: /, stage: work}]
stages: {work: {worker: work}}
`,
	"two.yaml": `
version: 1
fronts: {east: {listen: "127.0.0.1:0"}, west: {listen: "127.0.0.1:0"}}
routes: [{prefix: /, stage: work}]
stages: {work: {worker: work}}
`,
	"outside.yaml": `
version: 1
routes: [{prefix: /, stage: work}]
stages: {work: {external: true}}
`,
	"clash.yaml": `
version: 1
front: {listen: "127.0.0.1:0", loopback: "tcp://ADDRESS", interrupt: ipc://DIR/int}
routes: [{prefix: /, stage: work}]
stages: {work: {worker: work, upstream: ipc://DIR/up, downstream: ipc://DIR/down}}
`,
	"hash.yaml": `
version: 1
routes: [{prefix: /, stage: costarring}]
stages: {costarring: {worker: work, next: [liquid]}, liquid: {worker: work}}
`,
	"empty/readme.txt": "no graph",
}

// write makes the files, with an address that is taken, and returns their
// directory.
func write(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bf") // a socket's path must be short
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = taken.Close() })
	fill := strings.NewReplacer("ADDRESS", taken.Addr().String(), "DIR", dir)
	for name, text := range graphs {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(fill.Replace(text)), 0o600))
	}
	return dir
}

func worker() *daemon.App {
	return oneStage(func(context.Context, *pipeline.Job) (pipeline.Result, error) { return pipeline.Text(200, "done"), nil })
}

// Every way to call a graph's commands that cannot work ends with the code of
// docs/operations.md, and says why.
func TestCallsOfGraphs(t *testing.T) {
	dir := write(t)
	for _, c := range []struct {
		args   string
		code   int
		stdout string // holds this; "": is empty
		stderr string
	}{
		{"validate", 2, "", "want a graph file"},
		{"validate DIR/none.yaml", 2, "", "none.yaml: no such file"},
		{"validate DIR/empty", 2, "", "empty has no *.yaml"},
		{"validate DIR/good.yaml", 0, "The graph can be used.\n", ""},
		{"validate DIR/warned.yaml", 0, "warned.yaml:1: warning: version: it is missing (write version: 1)\nThe graph can be used.\n", ""},
		{"validate DIR/bad.yaml", 1, "bad.yaml:3:29: routes[0].stage: there is no stage \"worx\" (did you mean work?)\n", "program: the graph has 2 problems\n"},
		{"validate DIR/bad.yaml", 1, "bad.yaml:4:25: stages.work.worker: there is no worker \"worx\" (did you mean work?)\n", ""},
		{"validate DIR/one.yaml", 1, "there is no stage", "program: the graph has a problem\n"},
		{"validate --role proxy:work DIR/good.yaml", 1, "stages.work.upstream: it is missing: proxy:work meets front there", "the graph has 4 problems\n"},
		{"validate --all-roles DIR/good.yaml", 0, "can be used", ""},
		{"validate --role proxy:worx DIR/good.yaml", 1, "role proxy:worx: there is no such stage (did you mean work?)\n", "the graph has a problem\n"},
		{"validate --role front DIR/two.yaml", 1, "role front: there are several (write front:NAME, of east, west)\n", ""},
		{"validate DIR/large.yaml", 0, "can be used", ""}, // from hand to hand
		{"validate --all-roles DIR/large.yaml", 1, "max_body of front \"front\" is 1073741824 bytes: at most 66060288 travel to another process\n", ""},
		{"validate DIR/hash.yaml", 1, "stages \"costarring\" and \"liquid\" have the same hash", ""},
		{"validate --role stage:work DIR/good.yaml", 2, "", "want front, front:NAME, proxy:STAGE or workers:STAGE"},
		{"validate --json DIR/good.yaml", 0, "[]\n", ""},
		{"validate --nosuch DIR/good.yaml", 2, "", "--nosuch"},

		{"run", 2, "", "want a graph file"},
		{"run DIR/none.yaml", 2, "", "no such file"},
		{"run DIR/bad.yaml", 2, "", "there is no worker \"worx\" (did you mean work?)"},
		{"run DIR/taken.yaml", 1, "", "address already in use"},
		{"run DIR/clash.yaml", 1, "", "address already in use"},
		{"run DIR/log.yaml", 1, "", "access log: open DIR/no/file: no such file"},
		{"run --role front --run-dir DIR/run DIR/log.yaml", 1, "", "access log: open DIR/no/file: no such file"},
		{"run --role front --run-dir DIR/run DIR/large.yaml", 2, "", "max_body of front \"front\""},
		{"run --count 2 DIR/good.yaml", 2, "", "--count goes with --role workers:STAGE"},
		{"run --count 2 --role proxy:work --run-dir DIR/run DIR/good.yaml", 2, "", "--count goes with --role workers:STAGE"},
		{"run --count -1 --role workers:work DIR/good.yaml", 2, "", "--count -1: want 1 to 4096"},
		{"run --count 4097 --role workers:work DIR/good.yaml", 2, "", "--count 4097: want 1 to 4096"},
		{"run --inproc --role front DIR/good.yaml", 2, "", "--inproc is for a whole graph"},
		{"run --role front DIR/good.yaml", 2, "", "front.loopback: it is missing: front meets proxy:work there, which runs elsewhere"},
		{"run --role proxy:worx DIR/good.yaml", 2, "", "role proxy:worx: there is no such stage (did you mean work?)"},
		{"run --role proxy:worx --run-dir DIR/run DIR/good.yaml", 2, "", "role proxy:worx: there is no such stage (did you mean work?)"},
		{"run --role front --run-dir DIR/run DIR/two.yaml", 2, "", "role front: there are several (write front:NAME, of east, west)"},
		{"run --role workers:work --run-dir DIR/run DIR/outside.yaml", 2, "", "role workers:work: its workers are started elsewhere"},
		{"run --role proxy:work --role proxy:work --run-dir DIR/run DIR/good.yaml", 2, "", "the role proxy:work is there twice"},
		{"run --role front --role front:front --run-dir DIR/run DIR/good.yaml", 2, "", "the role front is there twice"},
		{"run --role front: DIR/good.yaml", 2, "", "no name behind the colon"},
		{"run --role front --run-dir DIR/good.yaml DIR/good.yaml", 1, "", "run directory: mkdir DIR/good.yaml: not a directory"},
		{"run --log-level loud DIR/good.yaml", 2, "", "--log-level"},

		{"up", 2, "", "want a graph file"},
		{"up DIR/bad.yaml", 2, "", "there is no worker \"worx\""},
		{"up --run-dir DIR/run DIR/large.yaml", 2, "", "max_body of front \"front\""},
		{"up --drain -1s DIR/good.yaml", 2, "", "--drain -1s is negative"},
		{"up --drain soon DIR/good.yaml", 2, "", "--drain"},

		{"graph", 2, "", "want a graph file"},
		{"graph DIR/bad.yaml", 2, "", "there is no worker \"worx\""},
		{"schema more", 2, "", "1 arguments are too many"},
	} {
		fill := strings.NewReplacer("DIR", dir)
		call := execute(t.Context(), worker(), strings.Fields(fill.Replace(c.args))...)
		assert.Equal(t, c.code, call.ends(t), c.args)
		if c.stdout == "" {
			assert.Empty(t, call.stdout.String(), c.args)
		}
		assert.Contains(t, call.stdout.String(), c.stdout, c.args)
		assert.Contains(t, call.stderr.String(), fill.Replace(c.stderr), c.args)
		if c.code == 2 {
			assert.True(t, strings.HasSuffix(call.stderr.String(), "Try 'program --help'.\n"), "%s: %s", c.args, call.stderr)
		}
	}
}

// Problems as JSON have their places, for editors and scripts.
func TestProblemsAsJSON(t *testing.T) {
	dir := write(t)
	call := execute(t.Context(), worker(), "validate", "--json", dir+"/bad.yaml")
	assert.Equal(t, 1, call.ends(t))
	var problems []struct {
		File, Path, Message, Hint string
		Line, Column              int
		Warning                   bool
	}
	require.NoError(t, json.Unmarshal([]byte(call.stdout.String()), &problems))
	require.Len(t, problems, 2)
	p := problems[0]
	assert.Equal(t, dir+"/bad.yaml", p.File)
	assert.Equal(t, [2]int{3, 29}, [2]int{p.Line, p.Column})
	assert.Equal(t, "routes[0].stage", p.Path)
	assert.Equal(t, "did you mean work?", p.Hint)
	assert.False(t, p.Warning)
}

// fetch gets a page.
func fetch(t *testing.T, url string) (status int, body string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get(url)
	require.NoError(t, err)
	defer func() { _ = r.Body.Close() }()
	text, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return r.StatusCode, string(text)
}

// A graph runs until it is told to stop, in whatever manner, and takes its run
// directory away where it has made one.
func TestRunsOfGraphs(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		made bool // a run directory
	}{
		"hand to hand":   {graphs["good.yaml"], false},
		"some endpoints": {strings.Replace(graphs["good.yaml"], "worker: work", "worker: work, upstream: ipc://DIR/up", 1), true},
		"all endpoints": {strings.NewReplacer("worker: work", "worker: work, upstream: ipc://DIR/up, downstream: ipc://DIR/down",
			"listen:", "loopback: ipc://DIR/loop, interrupt: ipc://DIR/int, listen:").Replace(graphs["good.yaml"]), false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t)
			runtimeDir := filepath.Join(dir, "xdg")
			require.NoError(t, os.Mkdir(runtimeDir, 0o700))
			t.Setenv("XDG_RUNTIME_DIR", runtimeDir)
			file := filepath.Join(dir, "graph.yaml")
			log := filepath.Join(dir, "access.log")
			text := strings.Replace(c.text, "listen:", "access_log: "+log+", listen:", 1)
			require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600))

			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			call := execute(ctx, worker(), "run", file)
			url := call.stderr.says(t, "url=")
			require.Eventually(t, func() bool {
				status, _ := fetch(t, url+"/readyz")
				return status == 200
			}, soon, tick)
			_, body := fetch(t, url+"/some/path")
			assert.Equal(t, "done", body)
			made, err := os.ReadDir(runtimeDir)
			require.NoError(t, err)
			assert.Equal(t, c.made, len(made) == 1)
			stop()
			assert.Zero(t, call.ends(t), call.stderr)
			left, err := os.ReadDir(runtimeDir)
			require.NoError(t, err)
			assert.Empty(t, left)
			written, err := os.ReadFile(log)
			require.NoError(t, err)
			assert.Contains(t, string(written), `"GET /some/path HTTP/1.1" 200 4`)
			assert.NotContains(t, openFiles(), log, "the access log is open")
			sockets, err := filepath.Glob(filepath.Join(dir, "up"))
			require.NoError(t, err)
			assert.Empty(t, sockets)
		})
	}
}

// A runtime directory that is not ours, as under su, is done without.
func TestTheRuntimeDirectoryMayBeMissing(t *testing.T) {
	dir := write(t)
	t.Setenv("XDG_RUNTIME_DIR", filepath.Join(dir, "none"))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	file := filepath.Join(dir, "graph.yaml")
	text := strings.Replace(graphs["good.yaml"], "worker: work", "worker: work, upstream: ipc://"+dir+"/up", 1)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	call := execute(ctx, worker(), "run", file)
	call.stderr.says(t, "url=")
	stop()
	assert.Zero(t, call.ends(t), call.stderr)
}

// A stop that comes before anything has begun is a stop.
func TestAGraphThatIsStoppedAtOnce(t *testing.T) {
	dir := write(t)
	ended, stop := context.WithCancel(t.Context())
	stop()
	for _, args := range [][]string{
		{"run", dir + "/good.yaml"},
		{"run", "--run-dir", dir + "/run", "--role", "proxy:work", "--role", "workers:work", "--role", "front", dir + "/good.yaml"},
	} {
		call := execute(ended, worker(), args...)
		assert.Zero(t, call.ends(t), call.stderr)
	}
}
