package daemon

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

const (
	// roomyHeap is what the heap may grow to, in bytes, before it is collected. The
	// live heap of a part is a few MiB while its jobs are small; Go collects such
	// a one at 4 MiB, dozens of times a second under load.
	roomyHeap = 16 << 20
	// usualPercent is Go's default: a large heap may double before it is collected.
	usualPercent = 100
	// roomyPercent is at which Go lets the smallest heap grow to roomyHeap.
	roomyPercent = usualPercent * roomyHeap / (4 << 20)
)

// heapPercent returns the GOGC at which a heap with so many bytes alive is
// collected when it has grown to room, or has doubled.
func heapPercent(live, room uint64) int {
	if live >= room {
		return usualPercent
	}
	return int(min(max((room-live)*100/max(live, 1), usualPercent), roomyPercent))
}

// roomy lets small heaps grow to roomyHeap before they are collected, until stop
// is called, unless GOGC says how heaps grow. GOMEMLIMIT holds in any case.
func roomy() (stop func()) {
	_, stop = growTo(roomyHeap)
	return stop
}

func growTo(room uint64) (r *roomyLoop, stop func()) {
	if os.Getenv("GOGC") != "" {
		return nil, func() {}
	}
	r = &roomyLoop{room: room, percent: roomyPercent}
	before := debug.SetGCPercent(r.percent)
	r.await()
	return r, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.over = true
		debug.SetGCPercent(before)
	}
}

// roomyLoop runs once behind each collection.
type roomyLoop struct {
	room    uint64     // bytes
	mu      sync.Mutex // guards what follows, and the process's GOGC
	percent int
	over    bool
}

// await has the next collection find something that nobody needs.
func (r *roomyLoop) await() { runtime.AddCleanup(new([64]byte), (*roomyLoop).collected, r) }

func (r *roomyLoop) collected() {
	live := liveHeap()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return
	}
	if p := heapPercent(live, r.room); p != r.percent {
		r.percent = p
		debug.SetGCPercent(p)
	}
	r.await()
}

// liveHeap returns how many bytes the last collection found alive.
func liveHeap() uint64 {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	return live[0].Value.Uint64()
}
