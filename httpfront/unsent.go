package httpfront

import (
	"container/list"
	"sync"
)

// unsent bounds the bytes of large answers that clients have not taken yet.
// Over the bound those connections are cut that have been writing one answer
// for the longest time, which are the slowest readers: nobody else is refused
// anything for their sake.
type unsent struct {
	limit int64

	mu     sync.Mutex // guards the fields below
	bytes  int64
	oldest list.List // of *writing, the oldest first
	cut    uint64    // answers so far
}

// small is the size up to which answers are not counted.
const small = 64 << 10

// writing is one answer on its way.
type writing struct {
	conn  *conn
	bytes int64
	place *list.Element // nil: it was cut
}

// begin counts an answer of n bytes, and cuts others, older ones, until what is
// left fits.
func (u *unsent) begin(c *conn, n int) *writing {
	w := &writing{conn: c, bytes: int64(n)}
	u.mu.Lock()
	defer u.mu.Unlock()
	w.place = u.oldest.PushBack(w)
	u.bytes += w.bytes
	for u.bytes > u.limit && u.oldest.Front() != w.place {
		oldest := u.oldest.Front().Value.(*writing)
		u.remove(oldest)
		u.cut++
		oldest.conn.cutWrite()
	}
	return w
}

// end is told that w has left, or never will.
func (u *unsent) end(w *writing) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if w.place != nil {
		u.remove(w)
	}
}

func (u *unsent) remove(w *writing) {
	u.oldest.Remove(w.place)
	w.place = nil
	u.bytes -= w.bytes
}
