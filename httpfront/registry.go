package httpfront

import "sync"

// registry holds the open connections by running number. Numbers are never
// used again, unlike file descriptors: an event that comes late finds nothing
// instead of another connection.
type registry struct {
	mu   sync.Mutex // guards the fields below
	open map[uint64]*conn
	last uint64

	serving sync.WaitGroup // one for each goroutine that serves a connection
}

// add takes c in, unless limit connections are open.
func (r *registry) add(c *conn, limit int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.open) >= limit {
		return false
	}
	r.last++
	c.number = r.last
	r.open[c.number] = c
	return true
}

func (r *registry) remove(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, c.number)
}

func (r *registry) find(number uint64) *conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open[number]
}

func (r *registry) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.open)
}

// each calls do for every open connection, without the lock.
func (r *registry) each(do func(*conn)) {
	r.mu.Lock()
	all := make([]*conn, 0, len(r.open))
	for _, c := range r.open {
		all = append(all, c)
	}
	r.mu.Unlock()
	for _, c := range all {
		do(c)
	}
}

func (r *registry) wait() { r.serving.Wait() }
