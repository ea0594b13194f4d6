//go:build linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/zmqpeer"
)

// getWith is a request that may run twice, with a body that shows whose answer
// came.
func getWith(body string) string {
	return fmt.Sprintf("GET /some/path HTTP/1.1\nHost: x\nContent-Length: %d\n\n%s", len(body), body)
}

// Workers are killed, or stopped and woken up again, while requests come in:
// each has its one answer. Those that may run twice have the right one, unless
// their every worker was hit.
func TestWorkersFailUnderLoad(t *testing.T) {
	for _, c := range []struct {
		name, scheme string
		worker       kind
		stop         bool // it is stopped, not killed
	}{
		{"killed over ipc", "ipc", ours, false},
		{"killed over tcp", "tcp", ours, false},
		{"killed, of prime_server", "ipc", prime, false},
		{"killed, in Python", "ipc", python, false},
		{"stopped over ipc", "ipc", ours, true},
		{"stopped, in Python", "tcp", python, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, c.scheme)
			p := r.proxy(ours, echo, "--timeout", "400ms", "--attempts", "5")
			f := r.front(ours, []stage{echo})
			workers := []*process{r.worker(c.worker, echo, 1), r.worker(c.worker, echo, 1)}
			ready(t, f)
			may, mayNot := startLoadOf(f.addr, getWith), startLoad(f.addr)
			for range 5 {
				may.more(t, 50)
				mayNot.more(t, 50)
				victim := workers[0]
				if c.stop {
					victim.pause()
					mayNot.more(t, 50) // the other goes on, or the timeout passes
					victim.resume()
				} else {
					victim.kill()
					victim = r.worker(c.worker, echo, 1)
				}
				workers = append(workers[1:], victim)
			}
			may.more(t, 50)
			mayNot.more(t, 50)
			statuses, errs := may.end()
			assert.Empty(t, errs)
			assert.Len(t, statuses, 1, "%v", statuses)
			assert.Positive(t, statuses[200])
			statuses, errs = mayNot.end()
			assert.Empty(t, errs)
			assert.Positive(t, statuses[200])
			failed := statuses[502] + statuses[504]
			assert.Len(t, statuses, 1+min(1, statuses[502])+min(1, statuses[504]), "%v", statuses)
			assert.LessOrEqual(t, failed, 5*2, "each costs one at a worker, and one that it may hold besides")
			echoesMany(t, f.addr)
			p.alive()
			assert.Zero(t, p.printed("panic"))
		})
	}
}

// A job that ends every process that it gets to is stopped at the bound, and
// found in the log.
func TestPoisonIsStopped(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	p := r.proxy(ours, odd)
	f := r.front(ours, []stage{odd})
	l := connect(t, f.addr)
	require.NoError(t, l.send(get("/die")))
	for attempt := range 3 {
		w := r.python(odd)
		w.says(fmt.Sprint("begun ", attempt))
		w.endsWithin(drainLimit)
	}
	a, err := l.receive("GET", soon)
	require.NoError(t, err)
	assert.Equal(t, 502, a.status)
	_, id, _ := strings.Cut(strings.TrimSpace(strings.TrimSuffix(a.body, "\n")), "(request ")
	assert.Contains(t, p.says("job given up"), "request_id="+strings.TrimSuffix(id, ")"))
	r.python(odd)
	wants(t, f.addr, get("/empty"), 204, "")
}

// runGraph runs a graph whose only stage is odd_worker.py's, in processes of the
// one that it returns.
func runGraph(t *testing.T, stage string) *front {
	t.Helper()
	dir, err := os.MkdirTemp(scratch, "")
	require.NoError(t, err)
	modules, err := filepath.Abs(example("python"))
	require.NoError(t, err)
	script, err := filepath.Abs(filepath.Join("testdata", "odd_worker.py"))
	require.NoError(t, err)
	file := filepath.Join(dir, "odd.yaml")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `version: 1
front: {listen: 127.0.0.1:0, timeout: 30s}
routes: [{prefix: /, stage: odd}]
stages:
  odd:
    command: [%s, -B, %s, odd]
    env: {PYTHONPATH: %s}
    %s
`, zmqpeer.Python(t), script, modules, strings.ReplaceAll(stage, "\n", "\n    ")), 0o600))
	p := start(t, "graph", exec.Command(binary, "run", "--run-dir", dir, "--log-level", "debug", file))
	f := &front{p, strings.TrimPrefix(p.field("msg=serving front=", "url"), "http://")}
	ready(t, f)
	return f
}

// A worker program that hangs loses its job in time, says where it hangs, and is
// started again.
func TestAProgramThatHangsIsReplaced(t *testing.T) {
	t.Parallel()
	f := runGraph(t, "count: 2\ntimeout: 500ms\nattempts: 2")
	l := connect(t, f.addr)
	never := filepath.Join(t.TempDir(), "never")
	began := time.Now()
	require.NoError(t, l.send(wait(never)))
	a, err := l.receive("POST", soon)
	require.NoError(t, err)
	assert.Equal(t, 504, a.status)
	assert.Less(t, time.Since(began), soon)
	wants(t, f.addr, get("/empty"), 204, "") // by the other
	f.says(`msg=aborted`)
	f.says("in do_wait")
	f.says("Fatal Python error: Aborted")

	// One that may run twice gets to the other, too, and no further.
	require.NoError(t, l.send("GET /wait?for="+never+" HTTP/1.1\nHost: x\n\n"))
	a, err = l.receive("GET", answerLimit)
	require.NoError(t, err)
	assert.Equal(t, 504, a.status)
	_, third := f.saysWithin(patience, "msg=aborted", 3)
	assert.True(t, third, "both are ended")
	serves(t, f.addr, "POST /echo HTTP/1.1\nHost: x\nContent-Length: 2\n\nhi", "hi")
	f.terminate(drainLimit)
}

// Worker programs are renewed one after the other, under load, and nothing is lost
// by it.
func TestProgramsAreRenewed(t *testing.T) {
	t.Parallel()
	f := runGraph(t, "count: 2\nmax_age: 1s\ntimeout: 10s")
	l := startLoadOf(f.addr, func(body string) string { return strings.Replace(post(body), "/some/path", "/echo", 1) })
	_, replaced := f.saysWithin(patience, "msg=replaced", 6)
	assert.True(t, replaced)
	l.more(t, 50)
	statuses, errs := l.end()
	assert.Empty(t, errs)
	assert.Len(t, statuses, 1, "%v", statuses)
	assert.Positive(t, statuses[200])
	assert.Zero(t, f.printed("worker lost with jobs"))
	f.terminate(drainLimit)
}
