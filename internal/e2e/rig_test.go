//go:build linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/freeport"
	"github.com/butterfly-zmq/butterfly/internal/zmqpeer"
)

// kind says who plays a role.
type kind string

const (
	ours  kind = "ours"
	prime kind = "prime" // an imitator of prime_server's
)

// stage is one stage of a pipeline: what its workers are called by either kind.
type stage struct{ name, ours, prime, next string }

var (
	echo     = stage{"echo", "echo", "echo", ""}
	parse    = stage{"parse", "primes.parse", "parse", "compute"}
	compute  = stage{"compute", "primes.compute", "compute", ""}
	schemes  = []string{"ipc", "tcp"}
	twoSteps = []stage{parse, compute}
)

// rig is a deployment: its endpoints, by name, and its fronts' names. Roles can
// be started in any order, and more than once.
type rig struct {
	t      *testing.T
	scheme string
	dir    string
	ends   map[string]string
	fronts []string            // names; one without a name if there is but one
	env    []string            // for the imitators
	flags  map[string][]string // for our front, proxies and workers
}

func newRig(t *testing.T, scheme string, fronts ...string) *rig {
	t.Helper()
	dir, err := os.MkdirTemp(scratch, "")
	if err != nil {
		t.Fatal(err)
	}
	if len(fronts) == 0 {
		fronts = []string{""}
	}
	return &rig{t: t, scheme: scheme, dir: dir, ends: make(map[string]string), fronts: fronts}
}

// end returns the endpoint of a name, the same every time.
func (r *rig) end(name string) string {
	if r.ends[name] == "" {
		if r.scheme == "ipc" {
			r.ends[name] = "ipc://" + filepath.Join(r.dir, name)
		} else {
			r.ends[name] = fmt.Sprintf("%s://127.0.0.1:%d", r.scheme, freePort(r.t))
		}
	}
	return r.ends[name]
}

func (r *rig) up(s stage) string            { return r.end(s.name + ".up") }
func (r *rig) down(s stage) string          { return r.end(s.name + ".down") }
func (r *rig) loopback(front string) string { return r.end(front + "loop") }
func (r *rig) interrupt(name string) string { return r.end(name + "int") }

// freePort returns a port that stays free until a role binds it, and when it does
// so anew, for as long as the test runs.
func freePort(t *testing.T) int {
	t.Helper()
	return freePorts(t, 1)
}

// freePorts returns the first of so many such ports that follow one another.
func freePorts(t *testing.T, n int) int {
	t.Helper()
	ports := new(freeport.Ports)
	first, err := ports.Row(n)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, ports.Close()) })
	return first
}

// run starts the daemon with arguments.
func (r *rig) run(name string, args ...string) *process {
	r.t.Helper()
	return r.runWith(nil, name, args...)
}

// runWith is run with more in the environment. Run directories are below the
// rig's own, so that those of killed processes go with it.
func (r *rig) runWith(env []string, name string, args ...string) *process {
	r.t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = append(append(os.Environ(), "XDG_RUNTIME_DIR="+r.dir), env...)
	return start(r.t, name, cmd)
}

// imitate starts one of the imitators.
func (r *rig) imitate(script string, args ...string) *process {
	r.t.Helper()
	script = filepath.Join("..", "primepeer", script)
	cmd := exec.Command(zmqpeer.Python(r.t), append([]string{"-B", "-u", script}, args...)...)
	cmd.Env = append(os.Environ(), r.env...)
	return start(r.t, "prime "+filepath.Base(script)+" "+args[0], cmd)
}

// front is a running front and where it serves.
type front struct {
	*process
	addr string // host:port
}

// front starts the front that has no name, before the first of the stages.
func (r *rig) front(k kind, stages []stage, flags ...string) *front {
	return r.namedFront(k, "", stages, flags...)
}

func (r *rig) namedFront(k kind, name string, stages []stage, flags ...string) *front {
	r.t.Helper()
	if k == prime {
		p := r.imitate("front.py", "0", r.up(stages[0]), r.loopback(name), r.interrupt(name))
		_, port, _ := strings.Cut(p.says("ready "), " ")
		return &front{p, "127.0.0.1:" + port}
	}
	args := []string{"front", "--listen", "127.0.0.1:0", "--proxy", r.up(stages[0]), "--loopback", r.loopback(name), "--interrupt", r.interrupt(name)}
	for _, s := range stages[1:] {
		args = append(args, "--watch", r.up(s))
	}
	if name != "" {
		args = append(args, "--name", name)
	}
	args = append(args, r.flags["front"]...)
	p := r.run(strings.TrimSpace("front "+name), append(args, flags...)...)
	return &front{p, strings.TrimPrefix(p.field("msg=serving", "url"), "http://")}
}

// proxy starts a stage's proxy; ours knows the fronts.
func (r *rig) proxy(k kind, s stage, flags ...string) *process {
	r.t.Helper()
	if k == prime {
		p := r.imitate("proxy.py", r.up(s), r.down(s))
		p.says("ready")
		return p
	}
	args := append([]string{"proxy", "--upstream", r.up(s), "--downstream", r.down(s), "--stage", s.name}, r.flags["proxy"]...)
	p := r.run("proxy "+s.name, append(append(args, r.toFronts()...), flags...)...)
	p.says("msg=serving")
	return p
}

// worker starts a process of workers of a stage, one of ours with count slots;
// of the other kinds a process has one.
func (r *rig) worker(k kind, s stage, count int) *process {
	r.t.Helper()
	next := "-"
	if s.next != "" {
		next = r.up(stage{name: s.next})
	}
	if k == python {
		return r.python(s)
	}
	if k == prime {
		p := r.imitate("worker.py", s.prime, r.down(s), next, r.loopback(r.fronts[0]), r.interrupt(r.fronts[0]))
		p.says("ready")
		return p
	}
	args := append([]string{"worker", s.ours, "--upstream-proxy", r.down(s), "--count", fmt.Sprint(count)}, r.flags["worker"]...)
	if s.next != "" {
		args = append(args, "--downstream-proxy", next)
	}
	p := r.run("worker "+s.name, append(args, r.toFronts()...)...)
	p.says("msg=working")
	return p
}

// toFronts returns the flags that tell the way back to all fronts.
func (r *rig) toFronts() []string {
	var flags []string
	for _, f := range r.fronts {
		named := r.loopback(f)
		if f != "" {
			named = f + "=" + named
		}
		flags = append(flags, "--loopback", named, "--interrupt", r.interrupt(f))
	}
	return flags
}
