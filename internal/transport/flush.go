package transport

import "context"

// flusher waits until the messages up to a running number are settled.
type flusher struct {
	until uint64
	done  chan struct{}
}

// flush blocks until everything accepted before the call has been handed to the
// kernel or given up, or ctx ends.
func (q *queue) flush(ctx context.Context) error {
	q.mu.Lock()
	if q.settled >= q.accepted {
		q.mu.Unlock()
		return nil
	}
	f := flusher{until: q.accepted, done: make(chan struct{})}
	q.flushers = append(q.flushers, f)
	q.mu.Unlock()
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		q.forget(f)
		return context.Cause(ctx)
	}
}

// forget drops a flusher that does not wait any more.
func (q *queue) forget(f flusher) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.flushers {
		if q.flushers[i].done == f.done {
			q.flushers = append(q.flushers[:i], q.flushers[i+1:]...)
			return
		}
	}
}
