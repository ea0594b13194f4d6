//go:build linux

package e2e

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A PATCH that came while no worker was there, when nobody could know of whose
// kind they would be, does not kill the imitator that comes then.
func TestPatchBeforePrimeWorker(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	r.proxy(ours, echo)
	f := r.front(ours, []stage{echo})
	l := connect(t, f.addr)
	require.NoError(t, l.send("PATCH /x HTTP/1.1\nHost: x\nContent-Length: 2\n\nhi"))
	w := r.worker(prime, echo, 1)
	a, err := l.receive("PATCH", answerLimit)
	if assert.NoError(t, err) {
		assert.Equal(t, 501, a.status)
	}
	w.alive()
}

// Nor does one that came before the front had ever met its proxy, when that is
// an imitator, too; nor a field without a value.
func TestPatchBeforePrimeProxy(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	f := r.front(ours, []stage{echo})
	patch, empty := connect(t, f.addr), connect(t, f.addr)
	require.NoError(t, patch.send("PATCH /x HTTP/1.1\nHost: x\nContent-Length: 2\n\nhi"))
	require.NoError(t, empty.send("POST /x HTTP/1.1\nHost: x\nEmpty:\nContent-Length: 2\n\nhi"))
	r.proxy(prime, echo)
	w := r.worker(prime, echo, 1)
	a, err := patch.receive("PATCH", answerLimit)
	if assert.NoError(t, err) {
		assert.Equal(t, 501, a.status)
	}
	a, err = empty.receive("POST", answerLimit)
	if assert.NoError(t, err) {
		assert.Equal(t, "hi", a.body)
	}
	w.alive()
}
