package transport

import (
	"log/slog"
	"sync"
	"time"
)

// logInterval is the shortest time between two lines of one kind.
const logInterval = 5 * time.Second

// quietLog writes one kind of line at a bounded rate, so that nobody can fill a
// disk by connecting. It may be used concurrently.
type quietLog struct {
	logger   *slog.Logger
	message  string
	endpoint string

	mu      sync.Mutex // guards next, skipped
	next    time.Time
	skipped int
}

// warn writes a line, or counts it for the next one.
func (q *quietLog) warn(peer string, err error) {
	now := time.Now()
	q.mu.Lock()
	if now.Before(q.next) {
		q.skipped++
		q.mu.Unlock()
		return
	}
	skipped := q.skipped
	q.skipped, q.next = 0, now.Add(logInterval)
	q.mu.Unlock()
	q.logger.Warn(q.message, "endpoint", q.endpoint, "peer", peer, "err", err, "skipped", skipped)
}
