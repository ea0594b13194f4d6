//go:build linux

package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// prime_server's proxy knows one job per connection: our worker opens one for
// each slot, has a job in each of them at a time, and no more.
func TestSlotsBehindPrimeProxy(t *testing.T) {
	t.Parallel()
	const slots = 4
	r := newRig(t, "ipc")
	r.env = []string{"PRIMEPEER_TRACE=1"}
	r.proxy(ours, parse)
	proxy := r.proxy(prime, compute)
	r.worker(ours, parse, 2*slots)
	r.worker(ours, compute, slots)
	f := r.front(ours, twoSteps)
	ready(t, f)
	wants(t, f.addr, isPrime("5"), 200, "5")

	var held []*link
	for range slots {
		l := connect(t, f.addr)
		require.NoError(t, l.send(isPrime(hardPrime)))
		held = append(held, l)
	}
	_, all := proxy.saysWithin(patience, "job for", 1+slots)
	require.True(t, all, "not all jobs were given away")
	workers := make(map[string]bool)
	lines, _ := proxy.from(0)
	for _, l := range lines[2:] { // behind "ready" and the first job
		workers[l] = true
	}
	assert.Len(t, workers, slots, "connections with a job")

	fifth := connect(t, f.addr)
	require.NoError(t, fifth.send(isPrime("7")))
	_, given := proxy.saysWithin(200*time.Millisecond, "job for", 2+slots)
	assert.False(t, given, "a job was given to a busy slot")
	require.NoError(t, held[0].Close())
	a, err := fifth.receive("GET", answerLimit)
	require.NoError(t, err)
	assert.Equal(t, "7", a.body)
}

// A proxy is replaced by one of the other kind, twice, and the worker opens and
// closes connections as each kind wants them.
func TestWorkerAdaptsToItsProxy(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, scheme)
			const slots = 4
			p := r.proxy(prime, echo)
			w := r.worker(ours, echo, slots)
			f := r.front(ours, []stage{echo})
			serves(t, f.addr, post("prime"), "prime")
			many := 0
			eventually(t, "connections of their own", func() bool { many = descriptors(t, w); return connections(t, w) == slots+2 })
			for range 2 {
				p.kill()
				p = r.proxy(ours, echo)
				serves(t, f.addr, post("ours"), "ours")
				eventually(t, "one connection", func() bool { return descriptors(t, w) == many-slots+1 })
				p.kill()
				p = r.proxy(prime, echo)
				serves(t, f.addr, post("prime again"), "prime again")
				eventually(t, "connections of their own", func() bool { return descriptors(t, w) == many })
			}
			echoesMany(t, f.addr)
		})
	}
}
