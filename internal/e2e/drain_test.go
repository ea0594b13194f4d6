//go:build linux

package e2e

import (
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// drainLimit is how long a role may take to leave that has next to nothing to do.
const drainLimit = 10 * time.Second

// mediumPrime takes a slot of ours about half a second.
const mediumPrime = "9999999999999937"

// load asks on a few kept connections, one request after the other, until it is
// stopped.
type load struct {
	stop    chan struct{}
	clients sync.WaitGroup

	mu       sync.Mutex // guards the fields below
	statuses map[int]int
	errs     []error
	changed  int // answers so far
}

func startLoad(addr string) *load { return startLoadOf(addr, post) }

// startLoadOf does so with requests that a function makes of their bodies.
func startLoadOf(addr string, request func(body string) string) *load {
	return startLoadWith(addr, request, func(n int) string { return fmt.Sprint("client ", n) })
}

// startLoadWith does so with a body for each of its clients.
func startLoadWith(addr string, request func(body string) string, body func(n int) string) *load {
	l := &load{stop: make(chan struct{}), statuses: make(map[int]int)}
	for n := range 8 {
		l.clients.Go(func() { l.ask(addr, request, body(n)) })
	}
	return l
}

func (l *load) ask(addr string, request func(string) string, body string) {
	c, err := dial(addr)
	if err != nil {
		l.note(0, err)
		return
	}
	defer func() { _ = c.Close() }()
	for {
		select {
		case <-l.stop:
			return
		default:
		}
		text := request(body)
		if err := c.send(text); err != nil {
			l.note(0, err)
			return
		}
		method, _, _ := strings.Cut(text, " ")
		a, err := c.receive(method, patience)
		if err != nil {
			l.note(0, err)
			return
		}
		if a.status == 200 && a.body != body {
			err = fmt.Errorf("%q is the answer to %q", a.body, body)
		}
		l.note(a.status, err)
		if a.closes {
			return
		}
	}
}

func (l *load) note(status int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changed++
	l.statuses[status]++
	if err != nil {
		l.errs = append(l.errs, err)
	}
}

// more waits for a number of further answers.
func (l *load) more(t *testing.T, n int) {
	t.Helper()
	answers := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.changed
	}
	before := answers()
	eventually(t, "answers under load", func() bool { return answers() >= before+n })
}

// end stops the load and returns how often each status came, and all errors.
func (l *load) end() (map[int]int, []error) {
	close(l.stop)
	l.clients.Wait()
	return l.statuses, l.errs
}

// Workers come and go while requests come in: none is lost or refused.
func TestWorkersLeaveUnderLoad(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, scheme)
			r.proxy(ours, echo)
			w := r.worker(ours, echo, 2)
			f := r.front(ours, []stage{echo})
			ready(t, f)
			l := startLoad(f.addr)
			for range 4 {
				next := r.worker(ours, echo, 2)
				l.more(t, 200)
				w.terminate(drainLimit)
				l.more(t, 200)
				w = next
			}
			statuses, errs := l.end()
			assert.Empty(t, errs)
			assert.Len(t, statuses, 1, "%v", statuses)
		})
	}
}

// A front that is told to stop answers what it has accepted, slow or not, and
// leaves as soon as it has.
func TestFrontDrains(t *testing.T) {
	t.Parallel()
	_, f, _ := startPrimes(t, "ipc", 4)
	var links []*link
	for range 4 {
		l := connect(t, f.addr)
		_, err := l.ask(isPrime("3"))
		require.NoError(t, err)
		links = append(links, l)
	}
	for _, l := range links {
		require.NoError(t, l.send(isPrime(mediumPrime)))
	}
	f.terminateWhile(drainLimit, func() {
		for _, l := range links {
			a, err := l.receive("GET", drainLimit)
			if assert.NoError(t, err) {
				assert.Equal(t, 200, a.status)
				assert.Equal(t, mediumPrime, a.body)
				assert.True(t, l.closed())
			}
		}
	})
	_, err := once(f.addr, isPrime("3"))
	assert.Error(t, err, "it still serves")
}

// With a drain delay a front says that it is not ready any more before it takes
// no more requests.
func TestFrontDrainsLater(t *testing.T) {
	t.Parallel()
	const delay = 2 * time.Second
	p := newRig(t, "ipc").run("whole", "--listen", "127.0.0.1:0", "--workers", "2", "--drain-delay", delay.String())
	addr := served(p)
	wants(t, addr, "GET /readyz HTTP/1.1\nHost: x\n\n", 200, "ok\n")
	began := time.Now()
	p.terminateWhile(drainLimit, func() {
		eventually(t, "readiness gone", func() bool {
			a, err := once(addr, "GET /readyz HTTP/1.1\nHost: x\n\n")
			return err == nil && a.status == 503
		})
		wants(t, addr, isPrime("3"), 200, "3")
	})
	assert.GreaterOrEqual(t, time.Since(began), delay)
	_, err := once(addr, isPrime("3"))
	assert.Error(t, err, "it still serves")
}

// Under load, too, a front that stops gives whole answers or none.
func TestFrontDrainsUnderLoad(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	r.proxy(ours, echo)
	r.worker(ours, echo, 2)
	f := r.front(ours, []stage{echo})
	ready(t, f)
	l := startLoad(f.addr)
	l.more(t, 500)
	f.terminate(drainLimit)
	statuses, errs := l.end()
	assert.Empty(t, errs, "accepted requests without an answer")
	assert.Len(t, statuses, 1, "%v", statuses)
}

// A proxy that is told to stop lets what it has been given finish.
func TestProxyDrains(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	r.proxy(ours, parse)
	p := r.proxy(ours, compute)
	r.worker(ours, parse, 4)
	worker := r.worker(ours, compute, 2) // half of the jobs have to wait
	f := r.front(ours, twoSteps)
	ready(t, f)
	wants(t, f.addr, isPrime("5"), 200, "5")
	used := cpuTime(t, worker)
	var links []*link
	for range 4 {
		l := connect(t, f.addr)
		require.NoError(t, l.send(isPrime(mediumPrime)))
		links = append(links, l)
	}
	eventually(t, "the worker at work", func() bool { return cpuTime(t, worker) > used+50*time.Millisecond })
	p.terminateWhile(drainLimit, func() {
		for _, l := range links {
			a, err := l.receive("GET", drainLimit)
			if assert.NoError(t, err) {
				assert.Equal(t, 200, a.status, a.body)
			}
		}
	})
	r.proxy(ours, compute)
	serves(t, f.addr, isPrime("7"), "7")
}

// Proxies and workers are restarted under load, of the first stage and of a later
// one: fronts and workers keep their jobs for the successors, and every request,
// none of which may run twice, has its answer.
func TestProxiesRestartUnderLoad(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, scheme)
			first, second := r.proxy(ours, parse), r.proxy(ours, compute)
			w := r.worker(ours, parse, 2)
			r.worker(ours, compute, 2)
			f := r.front(ours, twoSteps)
			ready(t, f)
			primes := []string{"2", "3", "5", "7", "11", "13", "17", "19"}
			l := startLoadWith(f.addr, func(body string) string {
				return fmt.Sprintf("POST /is_prime HTTP/1.1\nHost: x\nContent-Length: %d\n\n%s", len(body), body)
			}, func(n int) string { return primes[n] })
			for range 3 {
				l.more(t, 200)
				second.terminate(drainLimit)
				second = r.proxy(ours, compute)
				l.more(t, 200)
				first.terminate(drainLimit)
				first = r.proxy(ours, parse)
				l.more(t, 200)
				next := r.worker(ours, parse, 2)
				w.terminate(drainLimit)
				w = next
			}
			l.more(t, 200)
			statuses, errs := l.end()
			assert.Empty(t, errs, "requests without a right answer")
			assert.Len(t, statuses, 1, "%v", statuses)
		})
	}
}

// terminateWhile asks the process to end, does what is to be done meanwhile,
// and wants exit code 0 in time.
func (p *process) terminateWhile(limit time.Duration, meanwhile func()) {
	p.t.Helper()
	began := time.Now()
	p.signal(syscall.SIGTERM)
	meanwhile()
	if code := p.endsWithin(limit - time.Since(began)); code != 0 {
		p.t.Errorf("%s ended with %d", p.name, code)
	}
}
