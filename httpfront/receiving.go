package httpfront

import (
	"fmt"
	"sync/atomic"

	"github.com/butterfly-zmq/butterfly/loopback"
)

// uncounted is how much of a request, head and body, may be received without
// being counted: most requests whole, so that they cost nothing.
const uncounted = 32 << 10

// receiving bounds the memory of all requests that are being received. fasthttp
// makes room for a body, or a chunk of one, as soon as its length is announced,
// and only then reads into it: a client that announces much and sends nothing
// would cost as much as one that sends. Reads show the room made.
type receiving struct {
	limit int64
	bytes atomic.Int64
}

// errReceiving is what a read returns for which there is no room.
var errReceiving = fmt.Errorf("httpfront: too many bytes are being received: %w", loopback.ErrFull)

func (r *receiving) take(n int64) error {
	if r.bytes.Add(n) > r.limit {
		r.bytes.Add(-n)
		return errReceiving
	}
	return nil
}

// received is a connection's share of receiving, for its present request.
type received struct {
	from  *receiving
	got   int64 // bytes that have come
	taken int64 // bytes counted: got and what the last read had room for
	full  bool  // there was no room
}

// room makes sure that a read into n bytes is counted.
func (r *received) room(n int) error {
	need := r.got + int64(n) - uncounted
	if need <= r.taken {
		return nil
	}
	if err := r.from.take(need - r.taken); err != nil {
		r.full = true
		return err
	}
	r.taken = need
	return nil
}

// release gives all of it back.
func (r *received) release() {
	if r.taken > 0 {
		r.from.bytes.Add(-r.taken)
	}
	*r = received{from: r.from}
}
