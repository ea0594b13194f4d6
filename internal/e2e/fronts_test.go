//go:build linux

package e2e

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// twoFronts starts two fronts over one proxy and one worker process.
func twoFronts(t *testing.T, scheme string, k kind) (a, b *front, worker *process) {
	t.Helper()
	r := newRig(t, scheme, "a", "b")
	r.proxy(ours, echo)
	worker = r.worker(k, echo, 2)
	a = r.namedFront(ours, "a", []stage{echo})
	b = r.namedFront(ours, "b", []stage{echo})
	for _, f := range []*front{a, b} {
		ready(t, f)
		wants(t, f.addr, post("hi"), 200, "hi")
	}
	return a, b, worker
}

// Two fronts share a stage: every answer reaches the front that waits.
func TestTwoFronts(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			a, b, _ := twoFronts(t, scheme, ours)
			t.Run("at once", func(t *testing.T) {
				for _, f := range []*front{a, b} {
					t.Run(f.name, func(t *testing.T) {
						t.Parallel()
						echoesMany(t, f.addr)
					})
				}
			})
			a.kill()
			echoesMany(t, b.addr)
		})
	}
}

// A front that is stopped, and takes no answers, does not hold up the workers,
// which have more answers for it than its connection holds.
func TestStoppedFront(t *testing.T) {
	t.Parallel()
	a, b, worker := twoFronts(t, "ipc", ours)
	stopFront(t, a, b, worker)
}

// stopFront stops front a when it has more to take than its connection holds,
// asks b meanwhile, and lets a go on.
func stopFront(t *testing.T, a, b *front, worker *process) {
	t.Helper()
	worker.pause()
	body := strings.Repeat("x", 4<<20)
	const jobs = 4 // more than the worker has slots
	before := written(t, a.process)
	for range jobs {
		l := connect(t, a.addr)
		require.NoError(t, l.send(post(body)))
	}
	// What the kernel does not take from the front on its way to the proxy
	// would be missing; the proxy reads always.
	eventually(t, "the jobs at the proxy", func() bool { return written(t, a.process) > before+jobs*len(body) })
	a.pause()
	worker.resume()
	for range 10 {
		l := connect(t, b.addr)
		require.NoError(t, l.send(post("hi")))
		answer, err := l.receive("POST", soon)
		require.NoError(t, err, "the other front's request hangs")
		assert.Equal(t, "hi", answer.body)
	}
	a.resume()
	wants(t, a.addr, post("back"), 200, "back")
}
