package pipeline

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/butterfly-zmq/butterfly/loopback"
)

// maxAbsent bounds the fronts that have gone and are remembered.
const maxAbsent = 64

// absent are the fronts that have gone: their jobs are not begun.
type absent struct {
	any atomic.Bool // spares the lock where none ever has

	mu sync.Mutex      // guards of
	of map[uint64]bool // whether another front is in its place
}

// gone reports whether a front has gone, and for good.
func (a *absent) gone(front uint64) (gone, replaced bool) {
	if front == 0 || !a.any.Load() {
		return false, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	replaced, gone = a.of[front]
	return gone, replaced
}

func (a *absent) add(front uint64, replaced bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of == nil {
		a.of = make(map[uint64]bool)
	}
	for other := range a.of {
		if len(a.of) < maxAbsent {
			break
		}
		delete(a.of, other)
	}
	a.of[front] = replaced
	a.any.Store(true)
}

func (a *absent) remove(front uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.of, front)
	a.any.Store(len(a.of) > 0)
}

// FrontGone implements loopback.Mourner: the contexts of the front's jobs end. If
// it may come back, it finds an answer: the handler's, or that the job is lost.
func (p *Pool) FrontGone(front uint64, replaced bool) {
	p.absent.add(front, replaced)
	for _, s := range p.slots {
		s.abandon(front, replaced)
	}
}

// FrontBack implements loopback.Mourner.
func (p *Pool) FrontBack(front uint64) { p.absent.remove(front) }

func (s *slot) abandon(front uint64, replaced bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil && s.current.key.Instance == front {
		s.abandonCurrent(replaced)
	}
}

// abandonCurrent ends the context of the current job. The caller holds the lock.
func (s *slot) abandonCurrent(replaced bool) {
	s.interrupted = s.interrupted || replaced
	s.current.abandoned.Store(true)
	s.current.ctx.end(context.Canceled)
}

// unwanted reports whether a job is not to be begun since its front has gone. One
// that may come back is told.
func (s *slot) unwanted(job *loopback.Job, c *call) bool {
	gone, replaced := s.pool.absent.gone(c.key.Instance)
	if gone && !replaced {
		c.abandoned.Store(true)
		s.fail(job, c, awayTooLong(c))
	}
	return gone
}

func awayTooLong(c *call) *Response {
	return errorResponse(502, "the front was away for too long (request "+c.job.RequestID()+")")
}
