package proxy

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/butterfly-zmq/butterfly/loopback"
)

// logInterval is how often one kind of log line may be written.
const logInterval = time.Second

// limiter lets one log line a logInterval through and counts the others.
type limiter struct {
	mu         sync.Mutex // guards the fields below
	next       time.Time
	suppressed int
}

// do calls f, with the number of calls since the last that were not let
// through, unless one was within the interval before now.
func (l *limiter) do(now time.Time, f func(suppressed int)) {
	l.mu.Lock()
	if now.Before(l.next) {
		l.suppressed++
		l.mu.Unlock()
		return
	}
	n := l.suppressed
	l.next, l.suppressed = now.Add(logInterval), 0
	l.mu.Unlock()
	f(n)
}

// note logs a job that was refused with a *LoopError; other errors are not its
// business.
func (l *limiter) note(log *slog.Logger, job *loopback.Job, err error) {
	var loop *LoopError
	if !errors.As(err, &loop) {
		return
	}
	l.do(time.Now(), func(suppressed int) {
		log.Warn("job went around too often", "request_id", job.Info.RequestID(), loop.What, loop.Count,
			"limit", loop.Limit, "trail", loop.Trail, "suppressed", suppressed)
	})
}
