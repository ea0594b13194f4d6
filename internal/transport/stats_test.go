package transport

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Both sides count their peers, and connections that were made again.
func TestStatsOfSockets(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		l, _ := r.listen(Options{Socket: Router}, nil)
		assert.Zero(t, l.Stats())
		d := r.dialer(Options{Socket: Dealer}, nil)
		assert.Zero(t, d.Stats())
		m := Message{[]byte("waits")}
		require.NoError(t, d.Send(m, nil))
		assert.Equal(t, Stats{Queued: 1, QueuedBytes: m.size()}, d.Stats())

		x := start(t, d.Run)
		both := func(peers int, connections uint64) {
			t.Helper()
			want := Stats{Peers: peers, Connections: connections}
			require.Eventually(t, func() bool { return l.Stats() == want && d.Stats() == want }, patience, time.Millisecond)
		}
		both(1, 1)
		l.mu.Lock()
		for p := range l.peers {
			p.Close(nil)
		}
		l.mu.Unlock()
		both(1, 2)
		x.stop(t)
		both(0, 2)
	})
}

func TestStatsAddUp(t *testing.T) {
	s := Stats{Peers: 1, Connections: 2, Queued: 3, QueuedBytes: 4, Dropped: 5}
	assert.Equal(t, Stats{Peers: 2, Connections: 4, Queued: 6, QueuedBytes: 8, Dropped: 10}, s.Plus(s))
}
