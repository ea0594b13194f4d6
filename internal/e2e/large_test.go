//go:build linux

package e2e

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mixed are casts in which each part is the only one of its kind once.
var mixed = []cast{
	{ours, ours, ours},
	{prime, ours, ours},
	{ours, prime, ours},
	{ours, ours, prime},
}

// Ten mebibytes go there and back.
func TestLargeBodies(t *testing.T) {
	body := make([]byte, 10<<20)
	rng := rand.NewChaCha8([32]byte{})
	_, _ = rng.Read(body)
	for _, scheme := range schemes {
		for _, c := range append(mixed, cast{ours, ours, python}) {
			t.Run(scheme+"/"+c.String(), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, scheme)
				r.proxy(c.proxy, echo)
				r.worker(c.worker, echo, 2)
				f := r.front(c.front, []stage{echo})
				for range 2 {
					wants(t, f.addr, post(string(body)), 200, string(body))
				}
				a, err := once(f.addr, post(string(body)+"!")) // one more than our front takes
				require.NoError(t, err)
				if c.front == ours {
					assert.Equal(t, 413, a.status)
				}
				wants(t, f.addr, post("small"), 200, "small")
			})
		}
	}
}

// ZeroMQ's heartbeats, sent by libzmq often and by us as we always do, keep idle
// connections, also while nothing else goes over them for longer than either
// side's timeout.
func TestHeartbeats(t *testing.T) {
	const idle = 8500 * time.Millisecond // our timeout is six seconds, noticed up to two later
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			var deployments []*deployment
			for _, c := range []cast{{prime, ours, prime}, {ours, prime, ours}, {prime, prime, ours}, {ours, ours, prime}} {
				deployments = append(deployments, startBeating(t, scheme, c))
			}
			over := time.Now().Add(idle)
			for _, d := range deployments {
				d.losesNothing(t, over)
			}
		})
	}
}

// deployment is a pipeline of one stage that has served a request.
type deployment struct {
	cast   cast
	front  *front
	roles  []*process
	failed []int // of each role, connections that failed before its peers were there
}

// startBeating starts a deployment in which the imitators send heartbeats and
// tell of connections that end.
func startBeating(t *testing.T, scheme string, c cast) *deployment {
	t.Helper()
	r := newRig(t, scheme)
	r.env = []string{"PRIMEPEER_HEARTBEAT=400", "PRIMEPEER_WATCH=1"}
	f := r.front(c.front, []stage{echo})
	d := &deployment{cast: c, front: f, roles: []*process{f.process, r.proxy(c.proxy, echo), r.worker(c.worker, echo, 2)}}
	wants(t, f.addr, post("before"), 200, "before")
	for _, role := range d.roles {
		d.failed = append(d.failed, role.printed("connection failed"))
	}
	return d
}

// losesNothing checks that no connection ends until a time, and that the
// pipeline still serves then.
func (d *deployment) losesNothing(t *testing.T, until time.Time) {
	t.Helper()
	for i, role := range d.roles {
		lost, any := role.saysWithin(time.Until(until), "lost ", 1)
		assert.False(t, any, "%s: %s says %q", d.cast, role.name, lost)
		assert.Equal(t, d.failed[i], role.printed("connection failed"), "%s: %s", d.cast, role.name)
	}
	wants(t, d.front.addr, post("after"), 200, "after")
}
