//go:build linux

package parts

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Part is a program that is started again and again, as by a supervisor. It ends
// with this process, however that ends. Its methods may be called concurrently;
// faults on one part should come one after the other.
type Part struct {
	Name    string
	Command []string
	Env     []string // added to this process's
	Log     string   // path of the file that gets its output, appended to
	// Died is told when the program ends without having been told to.
	Died func(*DiedError)

	mu  sync.Mutex // guards run
	run *run       // nil: it has not been started
}

// run is one life of the program.
type run struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has been waited for

	mu   sync.Mutex // guards told
	told bool       // to end
}

// DiedError is the end of a program that should have gone on.
type DiedError struct{ Name, State string }

func (e *DiedError) Error() string { return e.Name + " ended by itself: " + e.State }

// StuckError is a program that did not end when it was asked to.
type StuckError struct {
	Name  string
	After time.Duration
}

func (e *StuckError) Error() string {
	return fmt.Sprintf("%s has not ended %v after SIGTERM", e.Name, e.After)
}

// CodeError is a program that was asked to end and did so with another code
// than 0.
type CodeError struct{ Name, State string }

func (e *CodeError) Error() string { return e.Name + " ended after SIGTERM with " + e.State }

// errNotRunning is an order to a part that is not there.
var errNotRunning = errors.New("it is not running")

// Start starts the program, which must not be running.
func (p *Part) Start() error {
	out, err := os.OpenFile(p.Log, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	defer func() { _ = out.Close() }() // the process has its own descriptor
	r := &run{cmd: exec.Command(p.Command[0], p.Command[1:]...), ended: make(chan struct{})}
	r.cmd.Env = append(os.Environ(), p.Env...)
	r.cmd.Stdout, r.cmd.Stderr = out, out
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := r.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	p.mu.Lock()
	p.run = r
	p.mu.Unlock()
	go func() {
		_ = r.cmd.Wait() // how it ended stands in cmd.ProcessState
		r.mu.Lock()
		told := r.told
		r.mu.Unlock()
		if !told && p.Died != nil {
			p.Died(&DiedError{p.Name, r.cmd.ProcessState.String()})
		}
		close(r.ended)
	}()
	return nil
}

func (p *Part) current() *run {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.run
}

// tell notes that the end of this life is nobody's surprise.
func (r *run) tell() {
	r.mu.Lock()
	r.told = true
	r.mu.Unlock()
}

// PID returns the number of the process that runs or ran last, 0 before the
// first.
func (p *Part) PID() int {
	if r := p.current(); r != nil {
		return r.cmd.Process.Pid
	}
	return 0
}

// Running reports whether the program runs, or is stopped by a signal.
func (p *Part) Running() bool {
	r := p.current()
	if r == nil {
		return false
	}
	select {
	case <-r.ended:
		return false
	default:
		return true
	}
}

// Signal sends a signal that does not end the program.
func (p *Part) Signal(s syscall.Signal) error {
	r := p.current()
	if r == nil {
		return fmt.Errorf("%s: %w", p.Name, errNotRunning)
	}
	return r.cmd.Process.Signal(s)
}

// Kill ends the program without giving it a chance, and waits for its end.
// Killing one that has ended does nothing.
func (p *Part) Kill() {
	r := p.current()
	if r == nil {
		return
	}
	r.tell()
	_ = r.cmd.Process.Kill() // fails if it has ended
	<-r.ended
}

// Terminate asks the program to end and waits for it. After limit it is killed:
// a *StuckError, with its goroutines in its log. Another exit code than 0 is a
// *CodeError; the signal itself may end a program that has hardly begun.
func (p *Part) Terminate(limit time.Duration) error {
	r := p.current()
	if r == nil {
		return nil
	}
	r.tell()
	_ = r.cmd.Process.Signal(syscall.SIGTERM) // fails if it has ended
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-r.ended:
	case <-timer.C:
		_ = r.cmd.Process.Signal(syscall.SIGQUIT) // by which Go says where it is
		time.AfterFunc(time.Second, func() { _ = r.cmd.Process.Kill() })
		<-r.ended
		return &StuckError{p.Name, limit}
	}
	how, _ := r.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if early := how.Signaled() && how.Signal() == syscall.SIGTERM; early || r.cmd.ProcessState.Success() {
		return nil
	}
	return &CodeError{p.Name, r.cmd.ProcessState.String()}
}

// Tail returns the last n bytes of what the program printed.
func (p *Part) Tail(n int) string {
	text, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-n):])
}
