//go:build linux

package main

import (
	"context"
	"net/http"
	"syscall"
	"time"

	"github.com/butterfly-zmq/butterfly/bench/internal/clients"
	"github.com/butterfly-zmq/butterfly/bench/internal/rig"
)

// pendingPerClient times the clients of each kind is what a front admits: more
// than any wave asks for but the overload, which asks for seven times as much in
// all, and the one of clients who leave before the front knows.
const pendingPerClient = 8

// wave is a kind of load.
type wave struct {
	name string
	load func(n int, l *clients.Load)
	// beside is done to the service meanwhile; nil: nothing is.
	beside func(ctx context.Context, s *soak)
	// brings is a status that has to be answered before the wave is over, however
	// slow the machine; 0: none has to.
	brings int
}

// waves are those of a round.
var waves = []wave{
	{"steady", func(n int, l *clients.Load) { l.Steady, l.Pipelining, l.Think = n, n, 20*time.Millisecond }, nil, 0},
	{"peak", func(n int, l *clients.Load) { l.Steady, l.Pipelining = 4*n, 2*n }, nil, 0},
	{"overload", func(n int, l *clients.Load) { l.Steady, l.Busy = 60*n, true }, nil, http.StatusServiceUnavailable},
	{"leaving", func(n int, l *clients.Load) { l.Leaving, l.Steady, l.Busy = 6*n, n, true }, nil, 0},
	{"streams", func(n int, l *clients.Load) { l.Streaming = 4 * n }, nil, 0},
	{"errors", func(n int, l *clients.Load) { l.Steady, l.Errors = 2*n, 2 }, nil, 0},
	{"churn", func(n int, l *clients.Load) { l.Fresh = 6 * n }, nil, 0},
	{"hanging", func(n int, l *clients.Load) {
		l.Steady, l.Hang, l.HangOften, l.Limits.Calm = 2*n, 5*time.Second, 50, false
	}, nil, 0},
	{"restarts", func(n int, l *clients.Load) { l.Steady, l.Streaming, l.Limits.Calm = 2*n, n, false }, restarts, 0},
}

// restarts ends every worker process once, half of them by SIGKILL, and starts
// it again.
func restarts(ctx context.Context, s *soak) {
	n := 0
	for _, m := range s.rig.Members {
		if m.Role != rig.RoleWorkers {
			continue
		}
		if n++; n%2 == 0 {
			m.Kill()
		} else if err := m.Terminate(s.drain() + 5*time.Second); err != nil {
			s.ledger.Break("%v", err)
		}
		if err := m.Start(); err != nil {
			s.ledger.Break("%v", err)
		}
		if !sleep(ctx, s.o.wave/10) {
			return
		}
	}
	for _, m := range s.rig.Members { // and one of the worker programs
		children := m.Children()
		for i, c := range children {
			if i == 0 && m.Programs {
				c.Signal(syscall.SIGKILL)
			}
			c.Release()
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}
