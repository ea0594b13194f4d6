// Package supervise keeps a program running: it starts it, passes its output
// on line by line, starts it again with growing pauses when it ends, and stops
// it in two steps.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults of a Config.
const (
	DefaultMinPause = 200 * time.Millisecond
	DefaultMaxPause = 30 * time.Second
	DefaultGrace    = 10 * time.Second
)

// Config says what is kept running, and how.
type Config struct {
	// Name is the program's in logs.
	Name string
	// Command is the program and its arguments.
	Command []string
	// Env is added to this process's environment, as NAME=VALUE.
	Env []string
	// Output gets the program's lines, stdout and stderr alike, one Write for
	// each; nil: they are dropped. It is called by one goroutine at a time.
	Output io.Writer
	// MinPause and MaxPause bound the pause before the program is started
	// again: it doubles from one to the other, and is the least again after
	// the program has run for MaxPause. 0: the defaults.
	MinPause, MaxPause time.Duration
	// Grace is the time from the request to end (SIGTERM where there are
	// signals) until the program is killed; 0: DefaultGrace.
	Grace time.Duration
	// Final reports whether the program need not be tried again after it has
	// exited with code; nil: it always is.
	Final func(code int) bool
	// Fresh returns what is added to the environment for one start more; nil:
	// nothing. It is called before every start.
	Fresh func() []string
	// Started is told of every start; nil: nobody is. It must not block.
	Started func(pid int)
	// Logger gets starts, ends and pauses; nil: nothing.
	Logger *slog.Logger
}

// Keeper keeps one program running.
//
// The program is in a process group of its own, so that a Ctrl-C in the
// terminal reaches only this process, which decides on the order. On Linux the
// system kills the program when this process is gone, however it went.
type Keeper struct {
	cfg  Config
	log  *slog.Logger
	stop chan struct{} // closed by Shutdown
	once sync.Once     // closes stop
	// replace takes whom to tell of the next start, abort the pid of a process
	// that hangs.
	replace chan chan<- struct{}
	abort   chan int
	done    chan struct{} // closed at the end of Run

	began   atomic.Bool   // Run was called
	running atomic.Bool   // there is a process
	starts  atomic.Uint64 // so far
}

// FinalError says that the program ended in a way that makes another try
// pointless.
type FinalError struct {
	Name string
	Code int
}

func (e *FinalError) Error() string {
	return fmt.Sprintf("%s exited with code %d and is not started again", e.Name, e.Code)
}

// New validates cfg and starts nothing.
func New(cfg Config) (*Keeper, error) {
	if len(cfg.Command) == 0 || cfg.Command[0] == "" {
		return nil, fmt.Errorf("supervise: %s has no command", cfg.Name)
	}
	if cfg.MinPause < 0 || cfg.MaxPause < 0 || cfg.Grace < 0 {
		return nil, fmt.Errorf("supervise: %s: negative pause or grace", cfg.Name)
	}
	cfg.MinPause = orDefault(cfg.MinPause, DefaultMinPause)
	cfg.MaxPause = max(orDefault(cfg.MaxPause, DefaultMaxPause), cfg.MinPause)
	cfg.Grace = orDefault(cfg.Grace, DefaultGrace)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	k := &Keeper{cfg: cfg, log: cfg.Logger.With("program", cfg.Name), stop: make(chan struct{}), done: make(chan struct{})}
	k.replace, k.abort = make(chan chan<- struct{}), make(chan int, 1)
	return k, nil
}

func orDefault(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}

// Run keeps the program running until Shutdown, or until ctx ends: then it is
// killed. It returns nil, or a *FinalError. The program has ended when it
// returns. It may run once; after a Shutdown it starts nothing.
func (k *Keeper) Run(ctx context.Context) error {
	if k.began.Swap(true) {
		return fmt.Errorf("supervise: %s has run already", k.cfg.Name)
	}
	defer close(k.done)
	// The system's promise to kill the program holds for the life of the
	// thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pause := time.Duration(0)
	var started chan<- struct{} // closed when the program has been started
	for {
		began := time.Now()
		var err error
		started, err = k.runOnce(ctx, started)
		if k.stopping() || ctx.Err() != nil {
			return nil
		}
		var exit *exec.ExitError
		if errors.As(err, &exit) && k.cfg.Final != nil && k.cfg.Final(exit.ExitCode()) {
			return &FinalError{k.cfg.Name, exit.ExitCode()}
		}
		if started != nil {
			k.log.Info("replaced", "after", time.Since(began).Round(time.Second))
			pause = 0
			continue
		}
		pause = k.nextPause(pause, time.Since(began))
		k.log.Warn("ended", "reason", reason(err), "again_in", pause)
		if !k.sleep(ctx, pause) {
			return nil
		}
	}
}

// reason says how a program ended that was not told to.
func reason(err error) string {
	if err == nil {
		return "it exited by itself"
	}
	return err.Error()
}

// nextPause returns the pause after a run of length ran.
func (k *Keeper) nextPause(last, ran time.Duration) time.Duration {
	if last == 0 || ran >= k.cfg.MaxPause {
		return k.cfg.MinPause
	}
	return min(2*last, k.cfg.MaxPause)
}

func (k *Keeper) stopping() bool {
	select {
	case <-k.stop:
		return true
	default:
		return false
	}
}

// sleep waits for d and reports whether it was not told to stop meanwhile.
func (k *Keeper) sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-k.stop:
	case <-ctx.Done():
	}
	return false
}

// runOnce runs the program to its end, and closes started, unless that is nil,
// when it has been started, or cannot be. It returns whom to tell of the next
// start.
func (k *Keeper) runOnce(ctx context.Context, started chan<- struct{}) (next chan<- struct{}, err error) {
	tell := sync.OnceFunc(func() {
		if started != nil {
			close(started)
		}
	})
	defer tell()
	if k.stopping() || ctx.Err() != nil {
		return nil, nil
	}
	cmd := exec.Command(k.cfg.Command[0], k.cfg.Command[1:]...)
	cmd.Env = append(os.Environ(), k.cfg.Env...)
	if k.cfg.Fresh != nil {
		cmd.Env = append(cmd.Env, k.cfg.Fresh()...)
	}
	var out *lines
	if k.cfg.Output != nil {
		out = &lines{to: k.cfg.Output}
		cmd.Stdout, cmd.Stderr = out, out
	}
	// Children of the program that hold its output open are not waited for.
	cmd.WaitDelay = time.Second
	apart(cmd)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	k.log.Info("started", "pid", cmd.Process.Pid)
	k.starts.Add(1)
	k.running.Store(true)
	defer k.running.Store(false)
	if k.cfg.Started != nil {
		k.cfg.Started(cmd.Process.Pid)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tell()
	next, err = k.attend(ctx, cmd, ended)
	if out != nil {
		out.end()
	}
	return next, err
}

// Running reports whether the program runs.
func (k *Keeper) Running() bool { return k.running.Load() }

// Starts returns how often the program was started.
func (k *Keeper) Starts() uint64 { return k.starts.Load() }

// Shutdown asks the program to end and waits until Run has returned, or ctx
// ends. Cancel Run's context to kill it. Before Run there is nothing to wait
// for. It may be called more than once.
func (k *Keeper) Shutdown(ctx context.Context) error {
	k.once.Do(func() { close(k.stop) })
	if !k.began.Load() {
		return nil
	}
	select {
	case <-k.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("supervise: %s has not ended: %w", k.cfg.Name, context.Cause(ctx))
	}
}
