//go:build linux

package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// cast says who plays which role.
type cast struct{ front, proxy, worker kind }

func (c cast) String() string {
	return fmt.Sprintf("front=%s,proxy=%s,worker=%s", c.front, c.proxy, c.worker)
}

// casts are all: prime_server's parts replaced none, one, two, three at a time,
// and a worker in Python with both kinds of the others.
func casts() []cast {
	var all []cast
	both := []kind{prime, ours}
	for _, f := range both {
		for _, p := range both {
			for _, w := range append(both, python) {
				all = append(all, cast{f, p, w})
			}
		}
	}
	return all
}

// Any part of a prime_server deployment with one stage can be replaced.
func TestEchoWithAnyPartReplaced(t *testing.T) {
	for _, scheme := range schemes {
		for _, c := range casts() {
			t.Run(scheme+"/"+c.String(), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, scheme)
				r.proxy(c.proxy, echo)
				worker := r.worker(c.worker, echo, 2)
				f := r.front(c.front, []stage{echo})
				if c.front == ours {
					ready(t, f)
				}
				wants(t, f.addr, post("first"), 200, "first")
				t.Run("bodies", func(t *testing.T) { echoesBodies(t, f.addr) })
				t.Run("connections", func(t *testing.T) { keepsConnections(t, f.addr, c) })
				t.Run("many", func(t *testing.T) { echoesMany(t, f.addr) })
				t.Run("head", func(t *testing.T) { headHasNoBody(t, f.addr, c) })
				t.Run("deadly", func(t *testing.T) { survivesDeadly(t, f.addr, c) })
				worker.alive()
				wants(t, f.addr, post("last"), 200, "last")
			})
		}
	}
}

func echoesBodies(t *testing.T, addr string) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	l := connect(t, addr)
	for _, body := range []string{"", "x", "\r\n\r\n", string(every), strings.Repeat("0123456789", 20_000)} {
		a, err := l.ask(post(body))
		require.NoError(t, err)
		assert.Equal(t, 200, a.status)
		assertBody(t, body, a.body, "echo")
	}
}

// Versions and Connection headers in every casing; the ancestor's front knows
// only one casing of each.
func keepsConnections(t *testing.T, addr string, c cast) {
	for _, k := range []struct {
		version, connection string
		kept                bool
	}{
		{"1.1", "", true},
		{"1.1", "Keep-Alive", true},
		{"1.1", "keep-alive", true},
		{"1.1", "Close", false},
		{"1.1", "close", c.front == prime},
		{"1.0", "", false},
		{"1.0", "Keep-Alive", true},
		{"1.0", "keep-alive", c.front == ours},
		{"1.0", "Close", false},
	} {
		what := fmt.Sprintf("HTTP/%s Connection: %q", k.version, k.connection)
		text := "POST / HTTP/" + k.version + "\nHost: x\nContent-Length: 2\n\nhi"
		if k.connection != "" {
			text = strings.Replace(text, "\n\n", "\nConnection: "+k.connection+"\n\n", 1)
		}
		l := connect(t, addr)
		a, err := l.ask(text)
		require.NoError(t, err, what)
		assert.Equal(t, "hi", a.body, what)
		if !k.kept {
			assert.True(t, l.closed(), what+": not closed")
			continue
		}
		if k.version == "1.0" {
			assert.True(t, strings.EqualFold("keep-alive", a.header.Get("Connection")), what+": %q", a.header)
		}
		a, err = l.ask(text)
		require.NoError(t, err, what+": not kept")
		assert.Equal(t, "hi", a.body, what)
	}
}

// echoesMany sends 200 requests at once, each on a connection of its own.
func echoesMany(t *testing.T, addr string) {
	var clients sync.WaitGroup
	for n := range 200 {
		clients.Go(func() {
			body := fmt.Sprintf("request %d", n)
			a, err := once(addr, post(body))
			if assert.NoError(t, err, body) {
				assert.Equal(t, 200, a.status)
				assert.Equal(t, body, a.body)
			}
		})
	}
	clients.Wait()
}

// The answer to a HEAD has no body, unless front and worker are both the
// ancestor's: then it has one, and the connection is of no further use.
func headHasNoBody(t *testing.T, addr string, c cast) {
	if c.front == prime && c.worker == prime {
		t.Skip("the ancestor's workers answer a HEAD with a body, and its front lets it pass")
	}
	l := connect(t, addr)
	for range 2 { // the second shows that nothing followed the first
		a, err := l.ask("HEAD /x HTTP/1.1\nHost: x\n\n")
		require.NoError(t, err)
		assert.Equal(t, 200, a.status)
		assert.Empty(t, a.body)
	}
}

// What kills the ancestor's workers does not reach them.
func survivesDeadly(t *testing.T, addr string, c cast) {
	patch := "PATCH /x HTTP/1.1\nHost: x\nContent-Length: 2\n\nhi"
	if c.front == ours && c.proxy == ours && c.worker != prime {
		wants(t, addr, patch, 200, "hi")
	} else {
		a, err := once(addr, patch)
		require.NoError(t, err)
		assert.Equal(t, 501, a.status)
	}
	a, err := once(addr, "POST /x HTTP/1.1\nHost: x\nX-Empty:\nContent-Length: 2\n\nhi")
	require.NoError(t, err)
	if c.front == prime { // its own parser refuses it
		assert.Equal(t, 400, a.status)
	} else {
		assert.Equal(t, 200, a.status)
		assert.Equal(t, "hi", a.body)
	}
	wants(t, addr, post("alive"), 200, "alive")
}

// longCast says who plays which role of two stages: a worker and a proxy each.
type longCast struct {
	front, proxy1, worker1, proxy2, worker2 kind
}

func (c longCast) String() string {
	return fmt.Sprintf("front=%s,parse=%s+%s,compute=%s+%s", c.front, c.proxy1, c.worker1, c.proxy2, c.worker2)
}

// longCasts are all casts in which at most two parts, or all but at most two,
// are replaced.
func longCasts() []longCast {
	var all []longCast
	for bits := range 32 {
		var k [5]kind
		replaced := 0
		for i := range k {
			k[i] = prime
			if bits>>i&1 == 1 {
				k[i] = ours
				replaced++
			}
		}
		if c := (longCast{k[0], k[1], k[2], k[3], k[4]}); replaced <= 2 || replaced == 5 {
			all = append(all, c)
		}
	}
	return all
}

// Any one or two parts of a prime_server deployment with two stages can be
// replaced, and all of them.
func TestPrimesWithAnyTwoPartsReplaced(t *testing.T) {
	for _, c := range longCasts() {
		t.Run("ipc/"+c.String(), func(t *testing.T) { testPrimes(t, "ipc", c) })
	}
	for _, c := range []longCast{ // a stage in Python, before and behind one in Go
		{ours, ours, python, ours, ours},
		{ours, ours, ours, ours, python},
	} {
		t.Run("ipc/"+c.String(), func(t *testing.T) { testPrimes(t, "ipc", c) })
		t.Run("tcp/"+c.String(), func(t *testing.T) { testPrimes(t, "tcp", c) })
	}
	for _, c := range casts() {
		c := longCast{c.front, c.proxy, c.worker, c.proxy, c.worker}
		t.Run("tcp/"+c.String(), func(t *testing.T) { testPrimes(t, "tcp", c) })
	}
}

func testPrimes(t *testing.T, scheme string, c longCast) {
	t.Parallel()
	r := newRig(t, scheme)
	r.proxy(c.proxy1, parse)
	r.proxy(c.proxy2, compute)
	r.worker(c.worker1, parse, 1)
	last := r.worker(c.worker2, compute, 1)
	f := r.front(c.front, twoSteps)
	if c.front == ours {
		ready(t, f)
	}
	answersPrimes(t, f.addr)
	interrupts(t, f, last, c.worker2)
}

const composite = "18446744073709551615"

func answersPrimes(t *testing.T, addr string) {
	t.Helper()
	const (
		badGet  = "GET requests should look like: 'is_prime?possible_prime=SOME_NUMBER'"
		badPost = "POST requests should have a path of 'is_prime' and a body with 'SOME_NUMBER'"
	)
	for number, want := range map[string]string{"0": "0", "1": "1", "2": "2", "3": "3", "4": composite, "9": composite, "65537": "65537", "1000003": "1000003"} {
		wants(t, addr, isPrime(number), 200, want)
		wants(t, addr, post(number), 200, want)
	}
	wants(t, addr, "GET /is_prime HTTP/1.1\nHost: x\n\n", 400, badGet)
	wants(t, addr, "GET /is_prime?x=3 HTTP/1.0\nHost: x\n\n", 400, badGet)
	wants(t, addr, "GET /is_prime?possible_prime=x HTTP/1.1\nHost: x\n\n", 400, badGet)
	wants(t, addr, post("1x"), 400, badPost)
	wants(t, addr, "PUT / HTTP/1.1\nHost: x\nContent-Length: 1\n\n3", 400, "Only GET and POST requests supported")
	var clients sync.WaitGroup
	for n := range 200 {
		clients.Go(func() {
			number, want := fmt.Sprint(2*n+10_000), composite
			a, err := once(addr, isPrime(number))
			if assert.NoError(t, err, number) {
				assert.Equal(t, want, a.body, number)
			}
		})
	}
	clients.Wait()
}

// Primes that take a while: hardPrime ten seconds and more of our workers', and
// slowPrime about a second of an imitator's.
const (
	hardPrime = "18446744073709551557"
	slowPrime = "9999999999971"
)

// interrupts lets a client leave while its job runs. An imitator says that it
// heard of it; of ours the only slot is free again at once.
func interrupts(t *testing.T, f *front, worker *process, k kind) {
	t.Helper()
	number := hardPrime
	if k == prime {
		number = slowPrime
	}
	before, used := worker.printed("interrupted"), cpuTime(t, worker)
	l := connect(t, f.addr)
	require.NoError(t, l.send(isPrime(number)))
	if k != prime {
		eventually(t, "the worker at work", func() bool { return cpuTime(t, worker) > used+100*time.Millisecond })
	}
	require.NoError(t, l.Close())
	if k == prime {
		_, heard := worker.saysWithin(patience, "interrupted", before+1)
		assert.True(t, heard, "the worker hears no interrupt")
	}
	wants(t, f.addr, isPrime("7"), 200, "7")
}
