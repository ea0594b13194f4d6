//go:build linux

package e2e

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// place stands for an endpoint in the text of a graph: @parse.up@.
var place = regexp.MustCompile(`@([a-z.]+)@`)

// write makes a file of a graph's text, with the rig's endpoints filled in, and
// returns its path.
func (r *rig) write(name, text string) string {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	text = place.ReplaceAllStringFunc(text, func(s string) string { return r.end(strings.Trim(s, "@")) })
	require.NoError(r.t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(r.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// serving waits for a front of a process to serve, and returns where. "front" is
// the one that has no name.
func (p *process) serving(name string) *front {
	p.t.Helper()
	return &front{p, strings.TrimPrefix(p.field("front="+name+" url=", "url"), "http://")}
}

// readies waits until a front is ready.
func (p *process) readies(name string) *front {
	p.t.Helper()
	f := p.serving(name)
	ready(p.t, f)
	return f
}

// loose is a graph without endpoints, tight the same with all of them.
const (
	loose = `
version: 1
front: {listen: "127.0.0.1:0"}
routes:
  - {path: /is_prime, stage: parse}
  - {prefix: /, stage: echo}
stages:
  parse: {worker: primes.parse, next: [slice]}
  slice: {worker: primes.slice, next: [slice], max_visits: 10000, count: 2}
  echo: {worker: echo}
`
	tight = `
version: 1
front: {listen: "127.0.0.1:0", loopback: @loop@, interrupt: @int@}
routes:
  - {path: /is_prime, stage: parse}
  - {prefix: /, stage: echo}
stages:
  parse: {worker: primes.parse, next: [slice], upstream: @parse.up@, downstream: @parse.down@}
  slice: {worker: primes.slice, next: [slice], max_visits: 10000, count: 2, upstream: @slice.up@, downstream: @slice.down@}
  echo: {worker: echo, upstream: @echo.up@, downstream: @echo.down@}
`
)

// A graph runs whole in one process, from hand to hand or over its endpoints.
func TestGraphInOneProcess(t *testing.T) {
	for _, c := range []struct {
		name, scheme, text string
		flags              []string
		bound              bool
	}{
		{"no endpoints", "tcp", loose, nil, false},
		{"ipc", "ipc", tight, nil, true},
		{"tcp", "tcp", tight, nil, true},
		{"inproc", "tcp", tight, []string{"--inproc"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, c.scheme)
			p := r.run("run", append([]string{"run", r.write("graph.yaml", c.text)}, c.flags...)...)
			f := p.readies("front")
			wants(t, f.addr, isPrime("7"), 200, "7")
			wants(t, f.addr, isPrime(mediumPrime), 200, mediumPrime)
			echoesMany(t, f.addr)
			assert.Equal(t, c.bound, r.isBound("slice.up"))
			assert.Equal(t, c.bound, r.isBound("loop"))
			p.terminate(drainLimit)
			assert.False(t, r.isBound("slice.up"), "a socket is left behind")
		})
	}
}

// isBound reports whether somebody listens at an endpoint.
func (r *rig) isBound(name string) bool {
	scheme, address, _ := strings.Cut(r.end(name), "://")
	network := map[string]string{"ipc": "unix", "tcp": "tcp"}[scheme]
	c, err := net.DialTimeout(network, address, time.Second)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

// twin is a graph with two fronts.
var twin = strings.Replace(tight, `front: {listen: "127.0.0.1:0", loopback: @loop@, interrupt: @int@}`, `
fronts:
  east: {listen: "127.0.0.1:0", loopback: @east.loop@, interrupt: @east.int@}
  west: {listen: "127.0.0.1:0", loopback: @west.loop@, interrupt: @west.int@}`, 1)

// Each part of a graph runs as a process of its own, in any order. The fronts
// share the stages: every answer comes to the front that asked, and workers and
// proxies have one connection to each.
func TestGraphAsRoles(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, scheme)
			file := r.write("graph.yaml", twin)
			roles := []string{
				"front:east", "front:west", "proxy:parse", "workers:parse",
				"proxy:slice", "workers:slice", "proxy:echo", "workers:echo",
			}
			rand.Shuffle(len(roles), func(i, j int) { roles[i], roles[j] = roles[j], roles[i] })
			t.Log(roles)
			running := make(map[string]*process)
			for _, role := range roles {
				running[role] = r.run(role, "run", file, "--role", role)
			}
			east, west := running["front:east"].readies("east"), running["front:west"].readies("west")
			t.Run("at once", func(t *testing.T) {
				for _, f := range []*front{east, west} {
					t.Run(f.name, func(t *testing.T) {
						t.Parallel()
						echoesMany(t, f.addr)
						wants(t, f.addr, isPrime(mediumPrime), 200, mediumPrime)
					})
				}
			})
			// Two to each front, one to its own proxy, and one to the next.
			assert.Equal(t, 5, connections(t, running["workers:echo"]), "connections of the echo workers")
			assert.Equal(t, 6, connections(t, running["workers:parse"]), "connections of the parse workers")
			for _, role := range []string{"front:east", "front:west", "workers:echo", "proxy:echo"} {
				running[role].terminate(drainLimit)
			}
		})
	}
}

// Workers of a role are as many as the graph or the command line says.
func TestGraphCount(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	file := r.write("graph.yaml", tight)
	assert.Equal(t, "2", r.run("two", "run", file, "--role", "workers:slice").field("msg=working", "slots"))
	assert.Equal(t, "3", r.run("three", "run", file, "--role", "workers:slice", "--count", "3").field("msg=working", "slots"))
}

// A process that has a stage's proxy and workers, while the front is elsewhere,
// does what it has accepted before it ends.
func TestGraphStagesLeave(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	file := r.write("graph.yaml", strings.Replace(tight, "primes.slice, next: [slice]", "primes.compute", 1))
	args := []string{"run", file}
	for _, stage := range []string{"parse", "slice", "echo"} {
		args = append(args, "--role", "proxy:"+stage, "--role", "workers:"+stage)
	}
	stages := r.run("stages", args...)
	f := r.run("front", "run", file, "--role", "front").readies("front")
	used := cpuTime(t, stages)
	var links []*link
	for range 6 { // two are worked on
		l := connect(t, f.addr)
		require.NoError(t, l.send(isPrime(mediumPrime)))
		links = append(links, l)
	}
	eventually(t, "the workers at work", func() bool { return cpuTime(t, stages) > used+50*time.Millisecond })
	stages.terminateWhile(drainLimit, func() {
		for _, l := range links {
			a, err := l.receive("GET", drainLimit)
			if assert.NoError(t, err) {
				assert.Equal(t, 200, a.status, a.body)
			}
		}
	})
}

// Parts that have to meet others at an endpoint that the graph leaves out need
// a run directory, the same for all.
func TestGraphRunDirectory(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	file := r.write("graph.yaml", loose)
	code, _, stderr := call(t, "run", file, "--role", "proxy:echo")
	assert.Equal(t, 2, code)
	assert.Contains(t, stderr, "graph.yaml:10:3: stages.echo.upstream: it is missing: proxy:echo meets front there, which runs elsewhere")

	dir := filepath.Join(r.dir, "new", "run")
	stages := []string{"run", file, "--run-dir", dir}
	for _, stage := range []string{"parse", "slice", "echo"} {
		stages = append(stages, "--role", "proxy:"+stage, "--role", "workers:"+stage)
	}
	rest := r.run("stages", stages...)
	f := r.run("front", "run", file, "--run-dir", dir, "--role", "front").readies("front")
	wants(t, f.addr, isPrime("7"), 200, "7")
	f.terminate(drainLimit)
	rest.terminate(drainLimit)
	assert.DirExists(t, dir, "it was the user's")
}

// Several files and directories compose, with environment variables in values.
func TestGraphInPieces(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	dir := r.write("stages/10-echo.yaml", "stages:\n  echo: {worker: echo}\n")
	r.write("stages/20-primes.yml", "stages:\n  parse: {worker: primes.parse, next: [slice]}\n  slice: {worker: primes.slice, next: [slice], max_visits: \"${VISITS:-500}\"}\n")
	r.write("stages/notes.txt", "no YAML: [")
	routes := r.write("routes.yaml", "version: 1\nfront: {listen: \"${HOST}:${PORT:-0}\"}\nroutes:\n  - {path: /is_prime, stage: parse}\n  - {prefix: /, stage: echo}\n")
	stages := filepath.Dir(dir)

	code, _, stderr := call(t, "run", routes, stages)
	assert.Equal(t, 2, code)
	assert.Contains(t, stderr, "routes.yaml:2:17: front.listen: the environment variable HOST is not set")

	port := freePort(t)
	f := r.runWith([]string{"HOST=127.0.0.1", fmt.Sprint("PORT=", port)}, "run", "run", routes, stages).readies("front")
	assert.Equal(t, fmt.Sprint("127.0.0.1:", port), f.addr)
	wants(t, f.addr, isPrime("7"), 200, "7")
	wants(t, f.addr, post("hi"), 200, "hi")
}
