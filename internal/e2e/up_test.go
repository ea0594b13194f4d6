//go:build linux

package e2e

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// lineWith returns the number of the first line that holds text, -1 without one.
func (p *process) lineWith(text string) int {
	lines, _ := p.from(0)
	for n, l := range lines {
		if strings.Contains(l, text) {
			return n
		}
	}
	return -1
}

// All roles run as processes below the supervisor. SIGINT under load stops them
// in order, and no accepted request is lost.
func TestUp(t *testing.T) {
	for name, text := range map[string]string{"no endpoints": loose, "endpoints": tight} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "tcp")
			up := r.run("up", "up", r.write("graph.yaml", text))
			f := up.readies("front")
			wants(t, f.addr, isPrime(mediumPrime), 200, mediumPrime)
			roles := below(t, up.cmd.Process.Pid)
			assert.Len(t, roles, 7)
			dir := strings.Trim(up.field("msg=starting", "run_dir"), `"`)
			assert.Equal(t, name == "no endpoints", dir != "", dir)

			l := startLoad(f.addr)
			l.more(t, 300)
			slow := connect(t, f.addr)
			require.NoError(t, slow.send(isPrime(mediumPrime)))
			l.more(t, 50)
			up.signal(syscall.SIGINT)
			a, err := slow.receive("GET", drainLimit)
			if assert.NoError(t, err) {
				assert.Equal(t, mediumPrime, a.body)
			}
			assert.Equal(t, 0, up.endsWithin(drainLimit))
			statuses, errs := l.end()
			assert.Empty(t, errs, "accepted requests without an answer")
			assert.Len(t, statuses, 1, "%v", statuses)

			order := []string{"front", "proxy:parse", "workers:parse", "proxy:slice", "workers:slice"}
			last := -1
			for _, role := range order {
				at := up.lineWith(fmt.Sprintf("%-13s | ", role) + draining(up, role))
				assert.Greater(t, at, last, "%s is stopped too early", role)
				last = at
			}
			for pid, line := range roles {
				assert.True(t, hasEnded(pid), line)
			}
			if dir != "" {
				assert.NoDirExists(t, dir)
			}
			assert.Zero(t, up.printed("level=ERROR"))
		})
	}
}

// draining returns the line, behind its prefix, by which a role says that it was
// told to stop.
func draining(p *process, role string) string {
	lines, _ := p.from(0)
	for _, l := range lines {
		prefix, rest, _ := strings.Cut(l, " | ")
		if strings.TrimSpace(prefix) == role && strings.Contains(rest, "msg=draining") {
			return rest
		}
	}
	return "no such line"
}

// What dies is started again, and the service goes on.
func TestUpStartsAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	up := r.run("up", "up", r.write("graph.yaml", strings.Replace(loose, "127.0.0.1:0", fmt.Sprint("127.0.0.1:", freePort(t)), 1)))
	f := up.readies("front")
	for n, role := range []string{"workers:slice", "proxy:slice", "front"} {
		killOne(t, up.child("--role "+role+" "))
		_, told := up.saysWithin(patience, "msg=ended", n+1)
		require.True(t, told)
		serves(t, f.addr, isPrime("7"), "7")
		ready(t, f)
	}
	up.says("msg=ended program=workers:slice reason=\"signal: killed\" again_in=200ms")
	wants(t, f.addr, isPrime(mediumPrime), 200, mediumPrime)
	up.terminate(drainLimit)
}

// Nothing outlives a supervisor that is killed.
func TestUpIsKilled(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	text := strings.Replace(loose, "{worker: echo}", "{command: [sleep, \"1000\"], count: 2}", 1)
	up := r.run("up", "up", r.write("graph.yaml", text))
	up.serving("front")
	up.child("sleep 1000")
	var all map[int]string
	eventually(t, "seven roles and two programs", func() bool {
		all = below(t, up.cmd.Process.Pid)
		return len(all) == 9
	})
	up.kill()
	for pid, line := range all {
		eventually(t, "the end of "+line, func() bool { return hasEnded(pid) })
	}
}

// A front whose address is taken is tried again, less and less often, until it
// can serve.
func TestUpWithAnAddressInUse(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	r := newRig(t, "ipc")
	up := r.run("up", "up", r.write("graph.yaml", strings.Replace(loose, "127.0.0.1:0", taken.Addr().String(), 1)))
	up.says("address already in use")
	up.says(`program=front reason="exit status 1" again_in=200ms`)
	up.says("again_in=400ms")
	require.NoError(t, taken.Close())
	f := up.readies("front")
	wants(t, f.addr, post("hi"), 200, "hi")
	up.alive()
	up.terminate(drainLimit)
}

// A role that cannot read the graph any more, since its file was changed, is not
// tried for ever: the others finish what they have, and the supervisor says so.
func TestUpLosesItsFile(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	file := r.write("graph.yaml", loose)
	up := r.run("up", "up", file)
	f := up.readies("front")
	slow := connect(t, f.addr)
	used := cpuOf(t, up.child("--role workers:slice "))
	require.NoError(t, slow.send(isPrime(mediumPrime)))
	eventually(t, "the worker at work", func() bool { return cpuOf(t, up.child("--role workers:slice ")) > used+20*time.Millisecond })
	require.NoError(t, os.WriteFile(file, []byte("nothing: here\n"), 0o600))
	killOne(t, up.child("--role workers:echo "))
	a, err := slow.receive("GET", drainLimit)
	if assert.NoError(t, err, "an accepted request") {
		assert.Equal(t, 200, a.status, a.body)
	}
	assert.Equal(t, 1, up.endsWithin(drainLimit))
	up.says("graph.yaml:1:1: nothing: there is no such key")
	up.says(`level=ERROR msg="given up" role=workers:echo`)
	up.says("prime-serverd: workers:echo exited with code 78 and is not started again")
	assert.Equal(t, 1, up.printed("nothing: there is no such key"), "it was tried more than once")
}

// What no role could run with is refused before any is started.
func TestUpOfWhatCannotRun(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	for text, speak := range map[string]string{
		"nothing: here\n": "nothing: there is no such key",
		strings.Replace(loose, "{listen:", "{max_body: 1GiB, listen:", 1): "max_body",
		strings.Replace(loose, "worker: echo", "worker: ecko", 1):         `there is no worker "ecko"`,
	} {
		code, stdout, stderr := call(t, "up", r.write("graph.yaml", text))
		assert.Equal(t, 2, code, text)
		assert.Empty(t, stdout, text)
		assert.Contains(t, stderr, speak)
		assert.NotContains(t, stderr, "msg=starting")
	}
	long := strings.Repeat("long", 20)
	code, _, stderr := call(t, "up", "--run-dir", r.dir+"/"+long, r.write("graph.yaml", loose))
	assert.Equal(t, 2, code)
	assert.Contains(t, stderr, "run directory")
	assert.Contains(t, stderr, "use a shorter")
}

// The supervisor shows a graph's warnings once, not its roles again.
func TestUpWarnsOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	up := r.run("up", "up", r.write("graph.yaml", strings.Replace(loose, "version: 1", "", 1)))
	up.readies("front")
	assert.Equal(t, 1, up.printed("write version: 1"))
	up.terminate(drainLimit)
}

// A second signal ends the patience with what is still under way.
func TestUpIsToldTwice(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	up := r.run("up", "up", r.write("graph.yaml", strings.Replace(loose, "primes.slice, next: [slice]", "primes.compute", 1)))
	f := up.readies("front")
	all := below(t, up.cmd.Process.Pid)
	worker := up.child("--role workers:slice ")
	used := cpuOf(t, worker)
	l := connect(t, f.addr)
	require.NoError(t, l.send(isPrime(hardPrime)))
	eventually(t, "the worker at work", func() bool { return cpuOf(t, worker) > used+50*time.Millisecond })
	up.signal(syscall.SIGINT)
	_, told := up.saysWithin(patience, "msg=draining", 2) // its own, and the front's
	require.True(t, told)
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(drainLimit); time.Now().Before(end); <-ticker.C {
		select {
		case <-up.ended:
			assert.Zero(t, up.cmd.ProcessState.ExitCode())
			for pid, line := range all {
				assert.True(t, hasEnded(pid), line)
			}
			return
		default:
			if up.printed("not drained") == 0 { // two signals within half a second are one
				_ = up.cmd.Process.Signal(syscall.SIGINT) // fails if it has ended
			}
		}
	}
	t.Error("the second signal is not heard")
}
