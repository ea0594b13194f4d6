package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// part is something that runs until it is told to stop.
type part interface {
	// Run blocks until Shutdown has ended, or ctx ends: the hard stop.
	Run(ctx context.Context) error
	// Shutdown finishes what was taken, or gives up when ctx ends.
	Shutdown(ctx context.Context) error
}

// graceShare is the part of the drain time that is spent finishing what was
// taken; the rest is for the hard stop.
const graceShare = 0.75

// serve runs p until it fails, or SIGINT, SIGTERM or the end of ctx tell it to
// stop: then it has the drain time to finish, and a second signal, half a second
// later or more, ends that early. What is stuck after the drain time is logged.
func serve(ctx context.Context, p part, drain time.Duration, log *slog.Logger) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	// Whoever reads the access log or the log may go; that must not end us.
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	defer signal.Stop(broken)

	defer roomy()()
	hard, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	done := make(chan error, 1)
	go func() { done <- p.Run(hard) }()
	select {
	case err := <-done:
		return err
	case s := <-signals:
		log.Info("draining", "signal", s.String(), "drain", drain)
	case <-ctx.Done():
		log.Info("draining", "drain", drain)
	}
	grace, giveUp := context.WithTimeout(hard, time.Duration(float64(drain)*graceShare))
	defer giveUp()
	go second(grace, signals, giveUp)
	if err := p.Shutdown(grace); err != nil {
		log.Warn("not drained", "err", err)
	}
	stop()
	return join(done, drain-time.Duration(float64(drain)*graceShare), log)
}

// sameSignal is within what time two signals are one: who stops a group of
// processes may reach each twice.
const sameSignal = 500 * time.Millisecond

// second calls giveUp at the next signal that is one of its own.
func second(ctx context.Context, signals <-chan os.Signal, giveUp func()) {
	first := time.Now()
	for {
		select {
		case <-signals:
			if time.Since(first) >= sameSignal {
				giveUp()
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// leastStop is how long a hard stop may take at least.
const leastStop = time.Second

// join waits for the end of Run, and says what is stuck when that takes long.
func join(done <-chan error, patience time.Duration, log *slog.Logger) error {
	timer := time.NewTimer(max(patience, leastStop))
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
	}
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	log.Error("stuck", "goroutines", string(stacks))
	return fmt.Errorf("not stopped in time: the log shows what was stuck")
}
