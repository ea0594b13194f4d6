package butterfly_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/examples/primes"
	"github.com/butterfly-zmq/butterfly/httpfront"
	"github.com/butterfly-zmq/butterfly/internal/zmqpeer"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
	"github.com/butterfly-zmq/butterfly/pipeline/daemon"
)

// soon is how long anything in these tests may take.
const soon = 20 * time.Second

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	return strings.ReplaceAll(string(b), "\r\n", "\n")
}

// marked returns the code blocks of a page that bear a mark of a kind, by what
// the mark names:
//
//	<!-- KIND: NAME -->
//	```language
//	…
//	```
func marked(t *testing.T, page, kind string) map[string]string {
	t.Helper()
	re := regexp.MustCompile("(?s)<!-- " + kind + ": ([^ ]+) -->\n```[a-z]+\n(.*?)```\n")
	blocks := make(map[string]string)
	for _, m := range re.FindAllStringSubmatch(read(t, page), -1) {
		blocks[m[1]] = m[2]
	}
	require.NotEmpty(t, blocks, "%s has no block marked %q", page, kind)
	return blocks
}

// The frames in the protocol's description are the golden ones, all of them.
func TestProtocolShowsTheGoldenFrames(t *testing.T) {
	shown := marked(t, "docs/protocol.md", "golden")
	files, err := filepath.Glob("internal/wire/testdata/golden/*.hex")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".hex")
		assert.Equal(t, read(t, f), shown[name], name)
		delete(shown, name)
	}
	assert.Empty(t, shown, "shown without a golden file")
}

// The READMEs' first stages are programs among the examples.
func TestReadmesShowTheExamples(t *testing.T) {
	for _, page := range []string{"README.md", "examples/python/README.md", "docs/deployment.md"} {
		for file, code := range marked(t, page, "file") {
			assert.Equal(t, read(t, file), code, file)
		}
	}
}

// What the README lets curl ask is answered as it shows.
func TestReadmeShowsTrueAnswers(t *testing.T) {
	var stages []cluster.Stage
	workers := primes.Workers()
	for _, s := range primes.Stages() {
		stages = append(stages, cluster.Stage{Name: s.Name, Handler: workers[s.Worker], Slots: 2, Next: s.Next})
	}
	whole, err := cluster.NewWhole(cluster.WholeConfig{
		Stages: stages,
		HTTP:   httpfront.Config{Listen: "127.0.0.1:0", ReadyPath: "/readyz"},
	})
	require.NoError(t, err)
	run(t, whole.Run)
	await(t, whole.Ready())
	call := regexp.MustCompile(`(?m)^\$ curl (?:-d (\S+) )?'?http://127\.0\.0\.1:8002([^'\n]*)'?\n(.*)$`)
	calls := call.FindAllStringSubmatch(marked(t, "README.md", "answers")["prime-serverd"], -1)
	require.NotEmpty(t, calls)
	for _, m := range calls {
		method := http.MethodGet
		if m[1] != "" {
			method = http.MethodPost
		}
		_, body := ask(t, method, "http://"+whole.Addr().String()+m[2], m[1])
		assert.Equal(t, m[3], strings.TrimSuffix(body, "\n"), m[0])
	}
}

// The worker in the protocol's description works between our front and proxy.
func TestWorkerOfTheProtocol(t *testing.T) {
	zmqpeer.Python(t)
	dir, err := os.MkdirTemp("", "bf") // a socket's path must be short
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	script := filepath.Join(dir, "worker.py")
	require.NoError(t, os.WriteFile(script, []byte(marked(t, "docs/protocol.md", "file")["worker.py"]), 0o600))
	at := func(name string) string { return "ipc://" + dir + "/" + name }

	proxy, err := cluster.NewProxy(cluster.ProxyConfig{
		Stage: "shout", Upstream: at("up"), Downstream: at("down"),
		Fronts: []loopback.FrontEndpoint{{Endpoint: at("loop")}}, Interrupts: []string{at("int")},
	})
	require.NoError(t, err)
	front, err := cluster.NewFront(cluster.FrontConfig{
		HTTP:  httpfront.Config{Listen: "127.0.0.1:0", ReadyPath: "/readyz"},
		Proxy: at("up"), Loopback: at("loop"), Interrupt: at("int"),
	})
	require.NoError(t, err)
	run(t, proxy.Run)
	run(t, front.Run)
	await(t, front.Ready())
	url := "http://" + front.Addr().String() + "/"
	for range 2 {
		zmqpeer.Start(t, script, at("down"), at("loop"), at("int"))
	}
	require.Eventually(t, func() bool {
		status, _ := ask(t, http.MethodGet, url+"readyz", "")
		return status == 200
	}, soon, 10*time.Millisecond)

	var asking sync.WaitGroup
	for i := range 20 {
		asking.Go(func() {
			status, body := ask(t, http.MethodPost, url, fmt.Sprint("hello ", i))
			assert.Equal(t, 200, status)
			assert.Equal(t, fmt.Sprint("HELLO ", i), body)
		})
	}
	asking.Wait()
	status, body := ask(t, http.MethodPut, url, "\xff")
	assert.Equal(t, 500, status)
	assert.Equal(t, "internal error", body)
	status, _ = ask(t, http.MethodPatch, url, "x")
	assert.Equal(t, 501, status, "its beats name no job: it counts as prime_server's")
	status, body = ask(t, http.MethodHead, url, "")
	assert.Equal(t, 200, status)
	assert.Empty(t, body)
}

// ask sends a request and returns the answer's status and body.
func ask(t *testing.T, method, url, body string) (int, string) {
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if !assert.NoError(t, err) {
		return 0, ""
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: soon}).Do(req)
	if !assert.NoError(t, err) {
		return 0, ""
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	assert.NoError(t, err)
	return resp.StatusCode, string(got)
}

// run runs f until the end of the test.
func run(t *testing.T, f func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-done)
	})
}

func await(t *testing.T, ready <-chan struct{}) {
	t.Helper()
	select {
	case <-ready:
	case <-time.After(soon):
		t.Fatal("not ready")
	}
}

// Every flag of the program is in the table of docs/operations.md, with its
// default.
func TestOperationsNamesEveryFlag(t *testing.T) {
	page := read(t, "docs/operations.md")
	app := &daemon.App{Name: "prime-serverd", Workers: primes.Workers(), Stages: primes.Stages(), Simulate: primes.Simulate}
	flag := regexp.MustCompile(`(?m)^ +(?:-\w, )?(--[a-z-]+)(?:.*\(default "?([^()"]*)"?\))?$`)
	for _, command := range []string{"", "front", "proxy", "worker", "run", "up", "validate", "graph", "schema"} {
		var usage, errs bytes.Buffer
		args := slices.DeleteFunc([]string{command, "--help"}, func(s string) bool { return s == "" })
		require.Zero(t, app.Execute(t.Context(), args, &usage, &errs), errs.String())
		flags := flag.FindAllStringSubmatch(strings.ReplaceAll(usage.String(), "\t", " "), -1)
		require.NotEmpty(t, flags)
		for _, f := range flags {
			row := regexp.MustCompile("(?m)^\\| `" + f[1] + "` \\| [^|]* \\|(?: ([^|]*) )?\\|").FindStringSubmatch(page)
			if !assert.NotNil(t, row, "%s %s is not in the table", command, f[1]) {
				continue
			}
			if _, onThisMachine := map[string]bool{"--count": true, "--stage": true}[f[1]]; !onThisMachine && f[2] != "" {
				assert.Equal(t, f[2], strings.Trim(row[1], "`"), "the default of %s %s", command, f[1])
			}
		}
	}
}

// Links between pages lead to files and headings that exist.
func TestLinksLeadSomewhere(t *testing.T) {
	pages, err := filepath.Glob("*.md")
	require.NoError(t, err)
	for _, pattern := range []string{"docs/*.md", "docs/adr/*.md", "bench/*.md", "examples/*/*.md"} {
		more, err := filepath.Glob(pattern)
		require.NoError(t, err)
		pages = append(pages, more...)
	}
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, page := range pages {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, heading, _ := strings.Cut(m[1], "#")
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), file)
			}
			info, err := os.Stat(target)
			if !assert.NoError(t, err, "%s links to %s", page, m[1]) || info.IsDir() || heading == "" {
				continue
			}
			assert.Contains(t, headings(read(t, target)), heading, "%s links to %s", page, m[1])
		}
	}
}

// headings returns the anchors of a page's headings.
func headings(page string) []string {
	var anchors []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(page, -1) {
		anchor := regexp.MustCompile(`[^\w -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		anchors = append(anchors, strings.ReplaceAll(anchor, " ", "-"))
	}
	return anchors
}
