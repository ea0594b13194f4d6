package zmqpeer

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// patience is how long Line waits for a process that has something to say.
const patience = 20 * time.Second

// Process is a running peer. Its methods belong to the test's goroutine.
type Process struct {
	tb    testing.TB
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan string   // of stdout; closed at its end
	done  chan struct{} // closed when the process has been waited for
}

// Start runs a Python script with args. What it writes to stderr goes to the
// test's. It is killed at the end of the test at the latest.
func Start(tb testing.TB, script string, args ...string) *Process {
	tb.Helper()
	cmd := exec.Command(Python(tb), append([]string{"-u", script}, args...)...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	p := &Process{tb: tb, cmd: cmd, stdin: stdin, lines: make(chan string, 1024), done: make(chan struct{})}
	go p.read(stdout)
	tb.Cleanup(p.Kill)
	return p
}

// read passes the lines of stdout on, and waits for the process.
func (p *Process) read(stdout io.Reader) {
	scanner := bufio.NewScanner(stdout)
	for scanner.Scan() {
		select {
		case p.lines <- scanner.Text():
		default: // nobody reads a peer that says so much
		}
	}
	close(p.lines)
	_ = p.cmd.Wait()
	close(p.done)
}

// Line returns the next line of the process's standard output; the test fails
// if it ends, or says nothing for twenty seconds.
func (p *Process) Line() string {
	p.tb.Helper()
	select {
	case line, ok := <-p.lines:
		if !ok {
			p.tb.Fatal("the peer ended")
		}
		return line
	case <-time.After(patience):
		p.tb.Fatal("the peer says nothing")
	}
	return ""
}

// Expect reads a line that must begin with word, and returns what follows.
func (p *Process) Expect(word string) string {
	p.tb.Helper()
	line := p.Line()
	rest, found := strings.CutPrefix(line, word)
	if !found {
		p.tb.Fatalf("the peer says %q, want %q", line, word)
	}
	return strings.TrimSpace(rest)
}

// Tell writes a line to the process's standard input.
func (p *Process) Tell(line string) {
	p.tb.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		p.tb.Fatal(err)
	}
}

// Kill ends the process without giving it a chance, and waits for its end.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}
