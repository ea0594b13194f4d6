//go:build linux

package e2e

import (
	"errors"
	"net"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/zmqpeer"
)

// The parts of the Python module that need no pipeline have tests beside it.
func TestPythonModule(t *testing.T) {
	cmd := exec.Command(zmqpeer.Python(t), "-B", "-m", "unittest", "-v")
	cmd.Dir = example("python")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Contains(t, string(out), "test_full_info")
}

func get(path string) string { return "GET " + path + " HTTP/1.1\nHost: x\n\n" }

// What a worker's function returns or raises reaches the client, and the log if
// it is the worker's fault; the worker goes on.
func TestPythonOutcomes(t *testing.T) {
	t.Parallel()
	_, f, w := startOdd(t, ours, odd)
	for path, want := range map[string]struct {
		status    int
		body, log string
	}{
		"/fail":    {418, "short and stout", ""},
		"/crash":   {500, "internal error (request ", `err="RuntimeError: of the body hi"`},
		"/nothing": {500, "internal error (request ", "the worker returned None"},
		"/large":   {500, "the answer is too large (request ", "too large"},
		"/astray":  {500, "internal error (request ", "stage 'odd' has no next stage 'nowhere'"},
		"/unknown": {500, "internal error (request ", "do_unknown"},
		"/empty":   {204, "", ""},
	} {
		a, err := once(f.addr, "POST "+path+" HTTP/1.1\nHost: x\nContent-Length: 2\n\nhi")
		require.NoError(t, err, path)
		assert.Equal(t, want.status, a.status, path)
		assert.True(t, strings.HasPrefix(a.body, want.body), "%s: %q", path, a.body)
		if want.log == "" {
			continue
		}
		line := w.says(want.log)
		_, id, _ := strings.Cut(strings.TrimSuffix(a.body, ")"), "(request ")
		assert.Contains(t, line, "level=ERROR", path)
		assert.Contains(t, line, "request_id="+id, path)
		assert.Contains(t, line, "stage=odd slot=7", path)
	}
	w.says("Traceback (most recent call last):")
	w.says(`odd_worker.py", line`)
	wants(t, f.addr, "POST /echo HTTP/1.1\nHost: x\nContent-Length: 2\n\nhi", 200, "hi")
}

// A worker knows its job, and its answer's headers travel but for those that are
// the front's.
func TestPythonJob(t *testing.T) {
	t.Parallel()
	_, f, _ := startOdd(t, ours, odd, "--timeout", "20s", "--access-log", "-")
	a, err := once(f.addr, get("/about"))
	require.NoError(t, err)
	facts := strings.Fields(a.body)
	require.Len(t, facts, 5, a.body)
	assert.Equal(t, []string{"odd", "1", "0", "20"}, facts[:4])
	assert.Contains(t, f.says("GET /about"), facts[4])
	assert.Equal(t, "yes", a.header.Get("X-Kept"))
	assert.False(t, a.closes)
}

// A job may go through its own stage again, under the same key, as often as it
// wants.
func TestPythonCycle(t *testing.T) {
	t.Parallel()
	r, f, _ := startOdd(t, ours, count)
	r.python(count)
	for range 3 {
		wants(t, f.addr, post("0"), 200, "1 hops")
		wants(t, f.addr, post("300"), 200, "301 hops")
	}
}

// A client that leaves, and a deadline, end a job that looks whether anybody
// waits for it; one that was ended before it came is not begun.
func TestPythonInterrupted(t *testing.T) {
	for path, said := range map[string]string{"/listen": "left", "/check": "checked"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			_, f, w := startOdd(t, ours, odd)
			l := connect(t, f.addr)
			require.NoError(t, l.send(get(path)))
			w.says("begun")
			require.NoError(t, l.Close())
			w.says(said)
			wants(t, f.addr, get("/empty"), 204, "")
			assert.Zero(t, w.printed("level=ERROR"))
		})
	}
	t.Run("deadline", func(t *testing.T) {
		t.Parallel()
		_, f, w := startOdd(t, ours, odd, "--timeout", "1s")
		a, err := once(f.addr, get("/check"))
		require.NoError(t, err)
		assert.Equal(t, 504, a.status)
		w.says("checked")
		wants(t, f.addr, get("/empty"), 204, "")
	})
	t.Run("before it came", func(t *testing.T) {
		t.Parallel()
		_, f, w := startOdd(t, prime, odd) // our proxy would drop the job itself
		first, second := connect(t, f.addr), connect(t, f.addr)
		require.NoError(t, first.send(get("/listen")))
		w.says("begun")
		require.NoError(t, second.send(get("/listen")))
		third := connect(t, f.addr)
		require.NoError(t, third.send(get("/empty")))
		require.NoError(t, second.Close())
		require.NoError(t, first.Close())
		a, err := third.receive("GET", answerLimit)
		require.NoError(t, err)
		assert.Equal(t, 204, a.status)
		assert.Equal(t, 1, w.printed("begun"))
	})
}

// Two fronts share Python workers: every answer reaches the front that waits,
// and one that takes none does not hold up the other.
func TestPythonTwoFronts(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			a, b, worker := twoFronts(t, scheme, python)
			t.Run("at once", func(t *testing.T) {
				for _, f := range []*front{a, b} {
					t.Run(f.name, func(t *testing.T) {
						t.Parallel()
						echoesMany(t, f.addr)
					})
				}
			})
			stopFront(t, a, b, worker)
			a.kill()
			echoesMany(t, b.addr)
		})
	}
}

// The proxy of Python workers is replaced, by its like and by the other kind, and
// they find each.
func TestPythonFindsItsProxy(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, scheme)
			p := r.proxy(ours, echo)
			workers := []*process{r.python(echo), r.python(echo)}
			f := r.front(ours, []stage{echo})
			wants(t, f.addr, post("first"), 200, "first")
			for _, k := range []kind{ours, prime, prime, ours} {
				p.kill()
				p = r.proxy(k, echo)
				serves(t, f.addr, post("again"), "again")
				echoesMany(t, f.addr)
			}
			f.kill()
			f = r.front(ours, []stage{echo})
			wants(t, f.addr, post("last"), 200, "last")
			for _, w := range workers {
				w.terminate(drainLimit)
			}
		})
	}
}

// A proxy that dies while a Python worker has a job does not take the answer
// with it, and the worker has its next job from the successor.
func TestPythonOutlivesItsProxy(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	p := r.proxy(ours, odd)
	w := r.python(odd)
	f := r.front(ours, []stage{odd})
	l := connect(t, f.addr)
	open := filepath.Join(r.dir, "open")
	require.NoError(t, l.send(wait(open)))
	w.says("begun")
	p.kill()
	p = r.proxy(ours, odd)
	<-time.After(1500 * time.Millisecond) // beyond the grace: it is claimed, though its worker looks at nothing
	release(t, open)
	a, err := l.receive("POST", answerLimit)
	require.NoError(t, err)
	assert.Equal(t, 200, a.status)
	assert.Equal(t, "hi", a.body)
	serves(t, f.addr, "POST /echo HTTP/1.1\nHost: x\nContent-Length: 2\n\nhi", "hi")
	p.alive()
}

// Python workers come and go while requests come in: none is lost or refused,
// behind a proxy of either kind.
func TestPythonLeavesUnderLoad(t *testing.T) {
	for _, scheme := range schemes {
		for _, k := range []kind{ours, prime} {
			t.Run(scheme+"/proxy="+string(k), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, scheme)
				r.proxy(k, echo)
				f := r.front(ours, []stage{echo})
				leaveUnderLoad(t, f, func() *process { return r.python(echo) })
			})
		}
	}
}

// So it is with a stage that forwards, to one in Go.
func TestPythonForwardsUntilItLeaves(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	r.proxy(ours, relay)
	r.proxy(ours, echo)
	r.worker(ours, echo, 2)
	f := r.front(ours, []stage{relay, echo})
	leaveUnderLoad(t, f, func() *process { return r.python(relay) })
}

// A Python worker that is told to stop finishes its job, and ends.
func TestPythonFinishesItsJob(t *testing.T) {
	for name, signals := range map[string][]syscall.Signal{
		"SIGTERM":  {syscall.SIGTERM, syscall.SIGTERM},
		"Ctrl-C":   {syscall.SIGINT},
		"both":     {syscall.SIGINT, syscall.SIGTERM},
		"unbusied": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, f, w := startOdd(t, ours, odd)
			if signals == nil {
				w.terminate(drainLimit)
				return
			}
			l := connect(t, f.addr)
			open := filepath.Join(r.dir, "open")
			require.NoError(t, l.send(wait(open)))
			w.says("begun")
			for _, s := range signals {
				w.signal(s)
			}
			release(t, open)
			a, err := l.receive("POST", answerLimit)
			require.NoError(t, err)
			assert.Equal(t, 200, a.status)
			assert.Equal(t, "hi", a.body)
			assert.Zero(t, w.endsWithin(drainLimit))
		})
	}
}

// A second Ctrl-C ends a worker whose job does not end; its client is told.
func TestPythonKilledByHand(t *testing.T) {
	t.Parallel()
	r, f, w := startOdd(t, ours, odd)
	l := connect(t, f.addr)
	require.NoError(t, l.send(wait(filepath.Join(r.dir, "never"))))
	w.says("begun")
	w.signal(syscall.SIGINT)
	eventually(t, "the first signal", func() bool { return !catches(t, w, syscall.SIGINT) })
	w.signal(syscall.SIGINT)
	assert.Equal(t, -1, w.endsWithin(drainLimit), "killed by a signal")
	a, err := l.receive("POST", soon)
	require.NoError(t, err)
	assert.Equal(t, 502, a.status)
	r.python(odd)
	wants(t, f.addr, get("/empty"), 204, "")
}

// An idle worker ends, too, where it has never had a job and cannot know what
// its proxy is, and where there is no proxy.
func TestPythonLeavesIdle(t *testing.T) {
	for name, start := range map[string]func(*rig){
		"ours":  func(r *rig) { r.proxy(ours, echo) },
		"prime": func(r *rig) { r.proxy(prime, echo) },
		"none":  func(*rig) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "ipc")
			start(r)
			w := r.python(echo)
			w.terminate(drainLimit)
		})
	}
}

// A front that has started waits a second for whoever holds its jobs: so long, at
// most, a program that has looked for it in vain for a while takes to find it.
func TestPythonFindsAFrontThatStartsLate(t *testing.T) {
	t.Parallel()
	r := newRig(t, "tcp")
	at, err := url.Parse(r.loopback(""))
	require.NoError(t, err)
	r.program(echo, zmqpeer.Python(t), "-B", example("python", "echo_worker.py"), "echo").says("msg=working")
	<-time.After(2 * time.Second) // pauses grow meanwhile
	l, err := net.Listen("tcp", at.Host)
	require.NoError(t, err)
	start := time.Now()
	c, err := l.Accept()
	require.NoError(t, err)
	assert.Less(t, time.Since(start), time.Second)
	require.NoError(t, errors.Join(c.Close(), l.Close()))
}
