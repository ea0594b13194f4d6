package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// stopGrace is how long a process may take to end when asked to.
const stopGrace = 10 * time.Second

// process is a running part. It does not outlive this program, where the system
// can promise that (see diesWithParent).
type process struct {
	name  string
	cmd   *exec.Cmd
	log   string        // path of the file with what it prints
	ended chan struct{} // closed when it has ended
}

// start runs a command whose output goes to the file log. The caller stops it.
func start(name, log string, cmd *exec.Cmd) (*process, error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer func() { _ = file.Close() }() // the process has its own descriptor
	cmd.Stdout, cmd.Stderr = file, file
	cmd.SysProcAttr = diesWithParent()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{name: name, cmd: cmd, log: log, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // how it ended stands in cmd.ProcessState
	}()
	return p, nil
}

// stop asks the process to end, kills it after the grace time, and returns when
// it is gone. Stopping an ended process does nothing.
func (p *process) stop(grace time.Duration) {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		_ = p.cmd.Process.Kill() // no such signal here, or it has ended
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.ended:
		return
	case <-timer.C:
	}
	_ = p.cmd.Process.Kill() // fails only if it ended this moment
	<-p.ended
}

// running returns nil, or a diedError once the process has ended.
func (p *process) running() error {
	select {
	case <-p.ended:
		return &diedError{p.name, p.cmd.ProcessState.String(), p.tail()}
	default:
		return nil
	}
}

// tail returns the last of what the process printed.
func (p *process) tail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// diedError is the end of a process that should have gone on.
type diedError struct{ name, state, output string }

func (e *diedError) Error() string {
	return fmt.Sprintf("%s ended: %s\n%s", e.name, e.state, e.output)
}

// died reports whether err is the end of a process.
func died(err error) bool {
	var e *diedError
	return errors.As(err, &e)
}
