package pipeline

import (
	"sync"
	"sync/atomic"

	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// heardSize is how many interrupts are remembered: those of jobs that are
// still on their way, or queued at a prime_server proxy, which takes no
// interrupts. A forgotten one costs a job that nobody waits for.
const heardSize = 4096

// heard remembers the latest interrupts, so that a job interrupted before it
// arrives is not begun.
type heard struct {
	any atomic.Bool // spares the lock where nobody ever interrupted

	mu   sync.Mutex // guards the fields below
	keys map[wire.Key]struct{}
	ring []wire.Key // the keys in the order they came; next is the oldest once it is full
	next int
}

func (h *heard) add(key wire.Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.keys == nil {
		h.keys = make(map[wire.Key]struct{})
	}
	if _, known := h.keys[key]; known {
		return
	}
	if len(h.ring) < heardSize {
		h.ring = append(h.ring, key)
	} else {
		delete(h.keys, h.ring[h.next])
		h.ring[h.next] = key
		h.next = (h.next + 1) % heardSize
	}
	h.keys[key] = struct{}{}
	h.any.Store(true)
}

func (h *heard) has(key wire.Key) bool {
	if !h.any.Load() {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.keys[key]
	return ok
}
