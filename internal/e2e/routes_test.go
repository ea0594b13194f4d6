//go:build linux

package e2e

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// manners are the ways in which a graph runs in one process: from hand to hand,
// or over sockets. The text has ENDS in every stage, and FRONT in the front.
var manners = map[string]func(text string) string{
	"hand to hand": func(text string) string {
		return strings.NewReplacer("ENDS", "", "FRONT", `listen: "127.0.0.1:0"`).Replace(text)
	},
	"over sockets": func(text string) string {
		text = strings.Replace(text, "FRONT", `listen: "127.0.0.1:0", loopback: @loop@, interrupt: @int@`, 1)
		for n := 0; strings.Contains(text, "ENDS"); n++ {
			ends := fmt.Sprintf(", upstream: @%c.up@, downstream: @%c.down@", 'a'+n, 'a'+n)
			text = strings.Replace(text, "ENDS", ends, 1)
		}
		return text
	},
}

// inBothManners runs a test on a graph in one process.
func inBothManners(t *testing.T, text string, test func(t *testing.T, p *process, addr string)) {
	for name, of := range manners {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "ipc")
			p := r.run("run", "run", r.write("graph.yaml", of(text)))
			test(t, p, p.readies("front").addr)
			p.terminate(drainLimit)
		})
	}
}

const routed = `
version: 1
front: {FRONT, timeout: 20s}
routes:
  - {path: /is_prime, header: {X-Hurry: "yes"}, stage: parse, timeout: 100ms}
  - {path: /is_prime, host: "*.example.com", stage: echo}
  - {path: /is_prime, methods: [GET, POST], stage: parse}
  - {prefix: /echo, methods: [POST, PUT], stage: echo}
  - {path: /echo/is_prime, stage: parse}
  - {path: /any, stage: echo}
stages:
  parse: {worker: primes.parse, next: [compute] ENDS}
  compute: {worker: primes.compute, count: 2 ENDS}
  echo: {worker: echo ENDS}
`

// Requests go where the first route that matches leads.
func TestRoutes(t *testing.T) {
	inBothManners(t, routed, func(t *testing.T, _ *process, addr string) {
		request := func(line, fields, body string) string {
			return line + " HTTP/1.1\nHost: x\nContent-Length: " + fmt.Sprint(len(body)) + fields + "\n\n" + body
		}
		const query = "?possible_prime=7"
		for _, c := range []struct {
			text   string
			status int
			body   string // what it begins with
			allow  string
		}{
			{request("GET /is_prime"+query, "", ""), 200, "7", ""},
			{request("POST /is_prime", "", "7"), 200, "7", ""},
			{request("HEAD /is_prime"+query, "", ""), 400, "", ""}, // GET's route; the worker wants GET itself
			{strings.Replace(request("POST /is_prime", "", "7x"), "Host: x", "Host: a.b.EXAMPLE.com:80", 1), 200, "7x", ""},
			{strings.Replace(request("POST /is_prime", "", "7x"), "Host: x", "Host: example.com", 1), 400, "POST requests", ""},
			{request("POST http://b.example.com/is_prime", "", "7x"), 200, "7x", ""},
			{request("DELETE /is_prime", "", ""), 405, "the method is not allowed here (request ", "GET, HEAD, POST"},
			{request("DELETE /is_prime", "\nX-Hurry: yes", ""), 400, "Only GET and POST", ""},
			{request("DELETE /is_prime", "\nX-Hurry: YES", ""), 405, "the method", "GET, HEAD, POST"},
			{request("POST /echo", "", "here"), 200, "here", ""},
			{request("PUT /echo/there?x", "", "there"), 200, "there", ""},
			{request("POST /echoes", "", "here"), 404, "there is nothing at this address (request ", ""},
			{request("POST /echo/is_prime", "", "first"), 200, "first", ""},
			{request("GET /echo/is_prime"+query, "", ""), 400, "GET requests", ""}, // the second route of that path
			{request("GET /echo", "", ""), 405, "the method", "POST, PUT"},
			{request("OPTIONS /any", "", "x"), 200, "x", ""},
			{request("TRACE /any", "", ""), 501, "", ""},
			{request("GET /%61ny", "", "x"), 200, "x", ""},
			{request("GET /any/", "", "x"), 404, "there is nothing", ""},
			{request("GET /", "", ""), 404, "there is nothing", ""},
			{request("GET /livez", "", ""), 200, "ok", ""},
			{request("GET /is_prime"+query, "\nX-Hurry: yes", ""), 200, "7", ""},
		} {
			a, err := once(addr, c.text)
			if !assert.NoError(t, err, c.text) {
				continue
			}
			assert.Equal(t, c.status, a.status, c.text)
			assert.True(t, strings.HasPrefix(a.body, c.body), "%s: %q", c.text, a.body)
			assert.Equal(t, c.allow, a.header.Get("Allow"), c.text)
		}
		began := time.Now()
		a, err := once(addr, request("GET /is_prime?possible_prime="+hardPrime, "\nX-Hurry: yes", ""))
		require.NoError(t, err)
		assert.Equal(t, 504, a.status, "the route's own timeout")
		assert.Less(t, time.Since(began), soon)
	})
}

// A worker that forwards where the graph has no edge fails its job at once, and
// the log says from where to where.
func TestForwardAgainstTheGraph(t *testing.T) {
	const text = `
version: 1
front: {FRONT}
routes:
  - {path: /is_prime, stage: parse}
  - {path: /dead_end, stage: lost}
stages:
  lost: {worker: primes.parse ENDS}
  parse: {worker: primes.parse, next: [slice] ENDS}
  slice: {worker: primes.slice ENDS}
`
	inBothManners(t, text, func(t *testing.T, p *process, addr string) {
		wants(t, addr, isPrime("7"), 200, "7") // is done in one visit
		began := time.Now()
		for text, says := range map[string]string{
			isPrime(hardPrime): `stage \"slice\" has no next stage \"slice\"`,
			"POST /dead_end HTTP/1.1\nHost: x\nContent-Length: 1\n\n7": `stage \"lost\" has not exactly one next stage: name the one to forward to`,
		} {
			a, err := once(addr, text)
			require.NoError(t, err)
			assert.Equal(t, 500, a.status)
			assert.Regexp(t, `^internal error \(request [0-9a-f-]+\)`, a.body)
			line := p.says(says)
			assert.Contains(t, line, "level=ERROR")
			_, id, _ := strings.Cut(a.body, "request ")
			assert.Contains(t, line, "request_id="+strings.TrimRight(id, ")\n"), "the client's id")
		}
		assert.Less(t, time.Since(began), soon)
	})
}

// A job that goes around too often is answered 508 with its latest stages.
func TestGraphBoundsCycles(t *testing.T) {
	const text = `
version: 1
front: {FRONT}
routes: [{path: /is_prime, stage: parse}]
stages:
  parse: {worker: primes.parse, next: [slice] ENDS}
  slice: {worker: primes.slice, next: [slice], max_visits: VISITS ENDS}
limits: {max_hops: HOPS}
`
	for name, c := range map[string]struct{ visits, hops, body string }{
		"visits": {"3", "1000", "the job visited slice 4 times, at most 3 are allowed; last stages: parse, slice, slice, slice, slice (request "},
		"hops":   {"4", "4", "the job entered 5 stages, at most 4 are allowed; last stages: parse, slice, slice, slice, slice (request "},
	} {
		t.Run(name, func(t *testing.T) {
			inBothManners(t, strings.NewReplacer("VISITS", c.visits, "HOPS", c.hops).Replace(text), func(t *testing.T, _ *process, addr string) {
				wants(t, addr, isPrime("7"), 200, "7")
				a, err := once(addr, isPrime(hardPrime))
				require.NoError(t, err)
				assert.Equal(t, 508, a.status)
				assert.True(t, strings.HasPrefix(a.body, c.body), a.body)
			})
		})
	}
}

// prime_server's workers serve a stage of a graph. Only what goes there has to
// keep to what they survive.
func TestGraphWithPrimeServersWorkers(t *testing.T) {
	t.Parallel()
	r := newRig(t, "tcp")
	file := r.write("graph.yaml", `
version: 1
front: {listen: "127.0.0.1:0", loopback: @loop@, interrupt: @int@}
routes:
  - {path: /is_prime, stage: parse}
  - {prefix: /legacy, stage: legacy}
  - {prefix: /, stage: echo}
stages:
  parse: {worker: primes.parse, next: [compute]}
  compute: {compat: prime_server, upstream: @compute.up@, downstream: @compute.down@}
  legacy: {compat: prime_server, upstream: @legacy.up@, downstream: @legacy.down@}
  echo: {worker: echo}
`)
	p := r.run("run", "run", file)
	f := p.serving("front")
	patch := func(path string) string {
		return "PATCH " + path + " HTTP/1.1\nHost: x\nX-Empty:\nContent-Length: 2\n\nhi"
	}
	// Nobody has connected yet: it is the graph that says it.
	wantsStatus(t, f.addr, patch("/legacy"), 501)
	wants(t, f.addr, patch("/other"), 200, "hi")
	for _, s := range []stage{{"legacy", "", "echo", ""}, {"compute", "", "compute", ""}} {
		r.worker(prime, s, 1)
	}
	ready(t, f)
	wants(t, f.addr, strings.Replace(patch("/legacy"), "PATCH", "PUT", 1), 200, "hi") // without the empty field
	wants(t, f.addr, isPrime("7"), 200, "7")
	wantsStatus(t, f.addr, patch("/legacy"), 501)
	wants(t, f.addr, patch("/other"), 200, "hi")
	p.terminate(drainLimit)
}

func wantsStatus(t *testing.T, addr, text string, status int) {
	t.Helper()
	a, err := once(addr, text)
	require.NoError(t, err)
	assert.Equal(t, status, a.status, a.body)
}

// A stage's queue is bounded for what comes from fronts.
func TestGraphBoundsQueues(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	p := r.run("run", "run", r.write("graph.yaml", `
version: 1
front: {listen: "127.0.0.1:0"}
routes:
  - {path: /busy, stage: busy, timeout: 1s}
  - {prefix: /, stage: echo}
stages:
  busy: {external: true, max_queue: 2}
  echo: {worker: echo}
`))
	f := p.serving("front")
	wants(t, f.addr, post("hi"), 200, "hi")
	const ask = "GET /busy HTTP/1.1\nHost: x\n\n"
	statuses := make(map[int]int)
	answers := make(chan *answer, 3)
	for range 3 {
		l := connect(t, f.addr)
		require.NoError(t, l.send(ask))
		go func() {
			a, err := l.receive("GET", answerLimit)
			assert.NoError(t, err)
			answers <- a
		}()
	}
	for range 3 {
		if a := <-answers; a != nil {
			statuses[a.status]++
			if a.status == 503 {
				assert.Contains(t, a.body, "the stage is overloaded")
			}
		}
	}
	assert.Equal(t, map[int]int{503: 1, 504: 2}, statuses)
}

// A front is ready while every stage that requests get to has a worker.
func TestGraphReadiness(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	file := r.write("graph.yaml", tight)
	role := func(name string) *process { return r.run(name, "run", file, "--role", name) }
	f := role("front").serving("front")
	unready := func(whys ...string) {
		t.Helper()
		eventually(t, strings.Join(whys, ", "), func() bool {
			a, err := once(f.addr, "GET /readyz HTTP/1.1\nHost: x\n\n")
			if err != nil || a.status != 503 {
				return false
			}
			lines := strings.Split(strings.TrimSpace(a.body), "\n")
			for n, why := range whys {
				if n >= len(lines) || !strings.Contains(lines[n], why) {
					return false
				}
			}
			return len(lines) == len(whys)
		})
	}
	unready(`stage "parse" at ipc://`, `stage "slice" at ipc://`, `stage "echo" at ipc://`)
	for _, stage := range []string{"parse", "slice", "echo"} {
		role("proxy:" + stage)
	}
	unready("has no workers", "has no workers", "has no workers")
	role("workers:parse")
	slice := role("workers:slice")
	unready(`stage "echo"`)
	role("workers:echo")
	ready(t, f)
	slice.kill()
	unready(`the proxy of stage "slice" at ipc://`)
	role("workers:slice")
	ready(t, f)
}

// drain_timeout bounds the stop: what is not done by then is cut off, and that is
// no failure.
func TestGraphDrainTimeout(t *testing.T) {
	const text = `
version: 1
front: {FRONT, drain_timeout: 1s}
routes: [{path: /is_prime, stage: parse}]
stages:
  parse: {worker: primes.parse, next: [compute] ENDS}
  compute: {worker: primes.compute ENDS}
`
	for name, of := range manners {
		for _, command := range []string{"run", "up"} {
			t.Run(command+" "+name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, "ipc")
				p := r.run(command, command, r.write("graph.yaml", of(text)))
				f := p.readies("front")
				l := connect(t, f.addr)
				require.NoError(t, l.send(isPrime(hardPrime)))
				busy := p.cmd.Process.Pid
				if command == "up" {
					busy = p.child("--role workers:compute ")
				}
				used := cpuOf(t, busy)
				eventually(t, "the worker at work", func() bool { return cpuOf(t, busy) > used+50*time.Millisecond })
				p.terminateWhile(soon, func() {
					_, err := l.receive("GET", soon)
					assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
				})
				assert.Zero(t, p.printed("msg=killed"))
			})
		}
	}
}
