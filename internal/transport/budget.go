package transport

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// budget bounds the bytes of messages that a Listener's peers have begun and not
// ended, all together: each alone is within Limits, a thousand of them need not be
// within the machine's memory. Who needs more than there is waits, which is felt by
// his own peer only. The oldest message always may go on, so that they end one
// after the other. Messages that could go on and do not, while others wait, cost
// their peers the connection.
//
// Messages below accounted are not counted: they are bounded by the number of
// peers.
type budget struct {
	limit int64

	mu      sync.Mutex // guards the fields below, and those of the holdings
	held    int64
	holders []*holding    // who holds something or waits; oldest first
	freed   chan struct{} // closed when something was released
	looked  time.Time     // when stuck last compared
}

// holding is what one connection holds.
type holding struct {
	of      *budget // nil: nobody counts
	evict   func(error)
	gone    func() bool // the connection has been closed
	bytes   int64
	before  int64 // bytes when stuck last compared
	waits   bool  // for room: it is not its peer that keeps it
	evicted error
}

const (
	// accounted is the size of messages, and of frames, that are counted.
	accounted = 64 << 10
	// leastProgress is what a message has to gain within patienceForIt while
	// others wait.
	leastProgress = 1 << 20
	patienceForIt = time.Second
	// budgetTick is how often who waits looks around.
	budgetTick = 100 * time.Millisecond
)

func newBudget(limit int64) *budget {
	return &budget{limit: limit, freed: make(chan struct{})}
}

// grow adds bytes that are about to be read, when there is room. waiting is called
// now and then until then.
func (h *holding) grow(n int64, waiting func()) error {
	if h.of == nil {
		return nil
	}
	for {
		freed, err := h.of.take(h, n)
		if freed == nil || err != nil {
			return err
		}
		timer := time.NewTimer(budgetTick)
		select {
		case <-freed:
		case <-timer.C:
		}
		timer.Stop()
		if h.gone() {
			return net.ErrClosed
		}
		waiting()
	}
}

// take gives h its bytes, or returns what to wait for.
func (b *budget) take(h *holding, n int64) (freed <-chan struct{}, err error) {
	b.mu.Lock()
	if h.evicted != nil {
		defer b.mu.Unlock()
		return nil, h.evicted
	}
	if !slices.Contains(b.holders, h) {
		b.holders = append(b.holders, h)
		h.before = -leastProgress // it has a whole span to go on in
	}
	if b.holders[0] == h || b.held+n <= b.limit && !b.waitsBefore(h) {
		defer b.mu.Unlock()
		h.waits = false
		h.bytes += n
		b.held += n
		return nil, nil
	}
	h.waits = true
	freed = b.freed
	victims := b.stuck(time.Now())
	b.mu.Unlock()
	for _, v := range victims {
		v.evict(v.evicted)
	}
	return freed, nil
}

// waitsBefore reports whether somebody who came before h waits: room goes to the
// older ones, so that they end. The caller holds the lock.
func (b *budget) waitsBefore(h *holding) bool {
	for _, other := range b.holders {
		if other == h {
			return false
		}
		if other.waits {
			return true
		}
	}
	return false
}

// stuck returns those that do not go on, and takes away what they hold. It compares
// what was long enough ago; after a time in which nobody waited it begins anew. The
// caller holds the lock.
func (b *budget) stuck(now time.Time) (victims []*holding) {
	ago := now.Sub(b.looked)
	if ago < patienceForIt {
		return nil
	}
	b.looked = now
	for _, h := range slices.Clone(b.holders) {
		if ago < 2*patienceForIt && !h.waits && h.bytes-h.before < leastProgress {
			h.evicted = fmt.Errorf("transport: a message of which %d bytes came, and no more while others waited: %w",
				h.bytes, &LimitError{"bytes of unended messages", uint64(b.held), uint64(b.limit)})
			b.drop(h)
			victims = append(victims, h)
		}
		h.before = h.bytes
	}
	return victims
}

// drop ends what h holds. The caller holds the lock.
func (b *budget) drop(h *holding) {
	b.held -= h.bytes
	h.bytes, h.waits = 0, false
	if i := slices.Index(b.holders, h); i >= 0 {
		b.holders = slices.Delete(b.holders, i, i+1)
	}
	close(b.freed)
	b.freed = make(chan struct{})
}

// release ends what h holds: the message has been read, or the connection ended.
func (h *holding) release() {
	if h.of == nil {
		return
	}
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	if h.bytes > 0 || h.waits {
		h.of.drop(h)
	}
}
