//go:build linux

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/zmqpeer"
)

// python is a worker program over examples/python: of echo or of the primes.
const python kind = "python"

var (
	odd   = stage{name: "odd", ours: "odd"}
	count = stage{name: "count", ours: "count", next: "count"}
	relay = stage{name: "relay", ours: "relay", next: "echo"}
)

// program starts a worker program, which learns its endpoints from the
// environment.
func (r *rig) program(s stage, argv ...string) *process {
	r.t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(append(os.Environ(), r.environment(s)...), r.env...)
	return start(r.t, "program "+s.name, cmd)
}

// environment returns the contract of docs/protocol.md for a process of a stage.
func (r *rig) environment(s stage) []string {
	modules, err := filepath.Abs(example("python"))
	require.NoError(r.t, err)
	var loopbacks, interrupts, next []string
	for _, f := range r.fronts {
		named := r.loopback(f)
		if f != "" {
			named = f + "=" + named
		}
		loopbacks, interrupts = append(loopbacks, named), append(interrupts, r.interrupt(f))
	}
	if s.next != "" {
		for endpoint := range strings.SplitSeq(r.up(stage{name: s.next}), ",") {
			next = append(next, s.next+"="+endpoint)
		}
	}
	return []string{
		"PYTHONPATH=" + modules,
		"BUTTERFLY_STAGE=" + s.name,
		"BUTTERFLY_SLOT=7",
		"BUTTERFLY_LOG_LEVEL=info",
		"BUTTERFLY_UPSTREAM_PROXY=" + r.down(s),
		"BUTTERFLY_DOWNSTREAM_PROXY=" + strings.Join(next, ","),
		"BUTTERFLY_LOOPBACK=" + strings.Join(loopbacks, ","),
		"BUTTERFLY_INTERRUPT=" + strings.Join(interrupts, ","),
	}
}

// python starts a Python worker of a stage.
func (r *rig) python(s stage) *process {
	r.t.Helper()
	script := filepath.Join("testdata", "odd_worker.py")
	switch s.name {
	case echo.name:
		script = example("python", "echo_worker.py")
	case parse.name, compute.name:
		script = example("python", "primes_worker.py")
	}
	p := r.program(s, zmqpeer.Python(r.t), "-B", script, s.ours)
	p.says("msg=working")
	return p
}

func example(path ...string) string {
	return filepath.Join(append([]string{"..", "..", "examples"}, path...)...)
}

// startOdd starts a pipeline of one stage whose worker is odd_worker.py's, behind
// a front of ours.
func startOdd(t *testing.T, k kind, s stage, flags ...string) (*rig, *front, *process) {
	t.Helper()
	r := newRig(t, "ipc")
	f := r.front(ours, []stage{s}, flags...) // before the worker, who so hears all interrupts
	r.proxy(k, s)
	w := r.python(s)
	ready(t, f)
	return r, f, w
}

// compileC compiles the worker in C. Where that is impossible it skips the test,
// or fails it if the environment requires peers.
func compileC(t *testing.T) string {
	t.Helper()
	err := exec.Command("cc", "-fsyntax-only", "-include", "zmq.h", "-x", "c", "/dev/null").Run()
	switch {
	case err == nil:
	case os.Getenv(zmqpeer.EnvRequire) == "1":
		t.Fatalf("no C worker without cc and libzmq3-dev, and %s=1 requires it: %v", zmqpeer.EnvRequire, err)
	default:
		t.Skipf("no C worker without cc and libzmq3-dev: %v", err)
	}
	to := filepath.Join(t.TempDir(), "echo_worker")
	out, err := exec.Command("cc", "-Wall", "-Wextra", "-Werror", "-O1", "-o", to, example("c", "echo_worker.c"), "-lzmq").CombinedOutput()
	require.NoError(t, err, string(out))
	return to
}

// wait is a request that keeps odd_worker.py until a file is there.
func wait(file string) string {
	return "POST /wait?for=" + file + " HTTP/1.1\nHost: x\nContent-Length: 2\n\nhi"
}

func release(t *testing.T, file string) {
	t.Helper()
	require.NoError(t, os.WriteFile(file, nil, 0o600))
}

// leaveUnderLoad replaces a worker four times while requests come in: all of
// them get their answer.
func leaveUnderLoad(t *testing.T, f *front, start func() *process) {
	t.Helper()
	w := start()
	serves(t, f.addr, post("first"), "first")
	l := startLoad(f.addr)
	for range 4 {
		next := start()
		l.more(t, 200)
		w.terminate(drainLimit)
		l.more(t, 200)
		w = next
	}
	statuses, errs := l.end()
	assert.Empty(t, errs)
	assert.Len(t, statuses, 1, "%v", statuses)
	assert.Positive(t, statuses[200])
}
