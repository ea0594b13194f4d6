package daemon

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSmallHeapsGrowBeforeTheyAreCollected(t *testing.T) {
	for live, want := range map[uint64]int{
		0: 400, 1 << 20: 400, 4 << 20: 300, 6 << 20: 166, 8 << 20: 100, 12 << 20: 100, 16 << 20: 100, 1 << 40: 100,
	} {
		assert.Equal(t, want, heapPercent(live, roomyHeap), "%d bytes alive", live)
	}
}

func TestTheCollectorFollowsTheHeap(t *testing.T) {
	t.Setenv("GOGC", "")
	percent := func() int {
		p := debug.SetGCPercent(-1)
		debug.SetGCPercent(p)
		return p
	}
	before := percent()
	runtime.GC()
	room := 4 * (liveHeap() + 1<<20) // other tests have left something
	r, stop := growTo(room)
	now := func() int {
		runtime.GC()
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.percent
	}
	large := make([]byte, room)
	assert.Eventually(t, func() bool { return now() == usualPercent }, 20*time.Second, time.Millisecond, "a large heap doubles")
	runtime.KeepAlive(large)
	assert.Eventually(t, func() bool { return now() > usualPercent }, 20*time.Second, time.Millisecond, "it is small again")
	stop()
	assert.Equal(t, before, percent(), "as it was")
	r.collected() // late
	assert.Equal(t, before, percent())
}

func TestWhoSetsGOGCDecides(t *testing.T) {
	t.Setenv("GOGC", "50")
	r, stop := growTo(roomyHeap)
	defer stop()
	require.Nil(t, r)
}
