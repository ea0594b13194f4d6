//go:build linux

package e2e

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The worker in C does its jobs behind a proxy of either kind, and leaves without
// losing one.
func TestWorkerInC(t *testing.T) {
	program := compileC(t)
	for _, scheme := range schemes {
		for _, k := range []kind{ours, prime} {
			t.Run(scheme+"/proxy="+string(k), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, scheme)
				p := r.proxy(k, echo)
				w := r.program(echo, program)
				f := r.front(ours, []stage{echo})
				wants(t, f.addr, post("first"), 200, "first")
				echoesBodies(t, f.addr)
				echoesMany(t, f.addr)
				p.kill()
				r.proxy(k, echo)
				serves(t, f.addr, post("again"), "again")
				w.alive()
				leaveUnderLoad(t, f, func() *process { return r.program(echo, program) })
			})
		}
	}
}

// It says which endpoint is missing.
func TestWorkerInCWithoutEndpoints(t *testing.T) {
	t.Parallel()
	program := compileC(t)
	r := newRig(t, "ipc", "a", "b") // one front more than it serves
	w := r.program(echo, program)
	require.Equal(t, 2, w.endsWithin(patience))
	assert.Contains(t, w.tail(1), "BUTTERFLY_LOOPBACK")
}
