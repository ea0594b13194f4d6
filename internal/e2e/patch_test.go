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
