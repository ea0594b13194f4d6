//go:build linux

package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/zmqpeer"
)

// program is a graph whose first stage is done by a worker program.
func program(t *testing.T, r *rig) string {
	script, err := filepath.Abs("testdata/worker.py")
	require.NoError(t, err)
	return r.write("graph.yaml", fmt.Sprintf(`
version: 1
front: {listen: "127.0.0.1:0"}
routes: [{prefix: /, stage: shout}]
stages:
  shout:
    command: [%s, -B, -u, %s]
    count: 2
    env: {GREETING: "hello, world"}
    next: [echo]
  echo: {worker: echo}
`, zmqpeer.Python(t), script))
}

// A worker program is told by its environment where it belongs, serves, is
// started again after a crash, which costs its job alone, and ends in order.
func TestWorkerProgram(t *testing.T) {
	for _, command := range []string{"run", "up"} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "ipc")
			p := r.run(command, command, "--run-dir", r.dir+"/run", "--log-level", "debug", program(t, r))
			f := p.readies("front")
			at := "ipc://" + r.dir + "/run/"
			for _, line := range []string{
				"shout.0 | env BUTTERFLY_SLOT=0",
				"shout.1 | env BUTTERFLY_SLOT=1",
				"shout.0 | env BUTTERFLY_STAGE=shout",
				"shout.0 | env BUTTERFLY_UPSTREAM_PROXY=" + at + "shout.down",
				"shout.0 | env BUTTERFLY_DOWNSTREAM_PROXY=echo=" + at + "echo.up",
				"shout.0 | env BUTTERFLY_LOOPBACK=front=" + at + "front.loop",
				"shout.0 | env BUTTERFLY_INTERRUPT=" + at + "front.int",
				"shout.0 | env BUTTERFLY_LOG_LEVEL=debug",
				"shout.0 | env GREETING=hello, world",
			} {
				p.says(line)
			}
			slots := make(map[string]bool)
			eventually(t, "answers of both processes", func() bool {
				a, err := once(f.addr, post("hi"))
				require.NoError(t, err)
				require.Equal(t, 200, a.status, a.body)
				slot, body, _ := strings.Cut(a.body, ":")
				assert.Equal(t, "HI", body)
				slots[slot] = true
				return slots["0"] && slots["1"]
			})
			wants(t, f.addr, post("forward me"), 200, "forward me")

			a, err := once(f.addr, post("die"))
			require.NoError(t, err)
			assert.Equal(t, 502, a.status, a.body)
			p.says(`reason="exit status 3"`)
			eventually(t, "the program started again", func() bool {
				return p.printed("shout.0 | env BUTTERFLY_SLOT=")+p.printed("shout.1 | env BUTTERFLY_SLOT=") == 3
			})
			eventually(t, "two processes", func() bool {
				n := 0
				for _, line := range below(t, p.cmd.Process.Pid) {
					if strings.Contains(line, "worker.py") {
						n++
					}
				}
				return n == 2
			})
			ready(t, f)

			slow := connect(t, f.addr)
			require.NoError(t, slow.send(post("dawdle")))
			all := below(t, p.cmd.Process.Pid)
			p.terminateWhile(drainLimit, func() {
				a, err := slow.receive("POST", drainLimit)
				if assert.NoError(t, err) {
					assert.Equal(t, 200, a.status, a.body)
				}
			})
			assert.Equal(t, 2, p.printed("| leaving"), "they were not asked")
			for pid, line := range all {
				assert.True(t, hasEnded(pid), line)
			}
		})
	}
}

// Worker programs do not outlive the process that keeps them, however that ends.
func TestWorkerProgramsEndWithTheirKeeper(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	p := r.run("run", "run", program(t, r))
	p.readies("front")
	all := below(t, p.cmd.Process.Pid)
	assert.Len(t, all, 2)
	p.kill()
	for pid, line := range all {
		eventually(t, "the end of "+line, func() bool { return hasEnded(pid) })
	}
}

// A command that does not exist is tried again, and said.
func TestWorkerProgramThatIsNotThere(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	text := strings.Replace(loose, "{worker: echo}", "{command: [./no-such-program]}", 1)
	p := r.run("run", "run", r.write("graph.yaml", text))
	p.says(`msg=ended program=echo reason="fork/exec ./no-such-program: no such file or directory" again_in=200ms`)
	p.says(`program=echo reason="fork/exec ./no-such-program: no such file or directory" again_in=400ms`)
	f := p.serving("front")
	a, err := once(f.addr, "GET /readyz HTTP/1.1\nHost: x\n\n")
	require.NoError(t, err)
	assert.Equal(t, 503, a.status)
	assert.Contains(t, a.body, `stage "echo"`)
	p.terminate(drainLimit)
}
