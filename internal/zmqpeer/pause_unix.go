//go:build unix

package zmqpeer

import "syscall"

// Pause stops the process with SIGSTOP: its connections stay, and nothing
// answers. Kill works on a paused process.
func (p *Process) Pause() {
	p.tb.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		p.tb.Fatal(err)
	}
}

// Resume lets a paused process go on.
func (p *Process) Resume() {
	p.tb.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		p.tb.Fatal(err)
	}
}
