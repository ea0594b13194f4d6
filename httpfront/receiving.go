package httpfront

import (
	"fmt"
	"sync/atomic"

	"github.com/butterfly-zmq/butterfly/loopback"
)

// uncounted is how much room for a body is made without being counted: most
// have enough, so that they cost nothing.
const uncounted = 32 << 10

// receiving bounds the memory of all bodies that are being received. Room is
// made for what has come, and as much again: a client that announces much and
// sends little costs little.
type receiving struct {
	limit int64
	bytes atomic.Int64
	full  atomic.Uint64 // how often there was no room
}

// errReceiving says that there is no room for more of a body.
var errReceiving = fmt.Errorf("httpfront: too many bytes are being received: %w", loopback.ErrFull)

func (r *receiving) take(n int64) error {
	if r.bytes.Add(n) > r.limit {
		r.bytes.Add(-n)
		r.full.Add(1)
		return errReceiving
	}
	return nil
}

func (r *receiving) release(n int64) { r.bytes.Add(-n) }
