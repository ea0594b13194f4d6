//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what has to happen.
const patience = 60 * time.Second

// process is a running role, ours or an imitator. What it prints on stdout and
// stderr is kept, and shown if the test fails. Its methods may be called
// concurrently, but for those that end the test.
type process struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has been waited for

	mu    sync.Mutex // guards the fields below
	lines []string
	news  chan struct{} // closed, and replaced, when a line comes
}

// start runs a command. It is killed at the end of the test at the latest.
func start(t *testing.T, name string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, name: name, cmd: cmd, ended: make(chan struct{}), news: make(chan struct{})}
	// Should this process be killed itself, the system ends its children.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		p.read(out)
	}()
	go func() {
		_ = cmd.Wait() // how it ended stands in cmd.ProcessState
		_ = in.Close()
		<-read
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s (%s) printed:\n%s", name, cmd.ProcessState, p.tail(60))
		}
	})
	return p
}

func (p *process) read(out io.Reader) {
	scanner := bufio.NewScanner(out)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, scanner.Text())
		close(p.news)
		p.news = make(chan struct{})
		p.mu.Unlock()
	}
}

// from returns the lines printed behind the first n, and a channel that is
// closed when there are more.
func (p *process) from(n int) ([]string, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lines[n:], p.news
}

// printed returns how many lines hold text.
func (p *process) printed(text string) int {
	lines, _ := p.from(0)
	n := 0
	for _, l := range lines {
		if strings.Contains(l, text) {
			n++
		}
	}
	return n
}

// saysWithin returns the nth line that holds text, if it comes in time.
func (p *process) saysWithin(limit time.Duration, text string, nth int) (string, bool) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for read := 0; ; {
		lines, news := p.from(read)
		for _, l := range lines {
			if strings.Contains(l, text) {
				if nth--; nth == 0 {
					return l, true
				}
			}
		}
		read += len(lines)
		select {
		case <-news:
		case <-timer.C:
			return "", false
		}
	}
}

// says waits for a line that holds text, and returns it.
func (p *process) says(text string) string {
	p.t.Helper()
	line, ok := p.saysWithin(patience, text, 1)
	if !ok {
		p.t.Fatalf("%s does not say %q", p.name, text)
	}
	return line
}

// field waits for a log line that holds text and returns the value of a key in it.
func (p *process) field(text, key string) string {
	p.t.Helper()
	_, value, found := strings.Cut(p.says(text), " "+key+"=")
	if !found {
		p.t.Fatalf("%s does not log %s", p.name, key)
	}
	value, _, _ = strings.Cut(value, " ")
	return value
}

func (p *process) tail(n int) string {
	lines, _ := p.from(0)
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Errorf("%s: %v: %v", p.name, s, err)
	}
}

// kill ends the process without giving it a chance, and waits for its end.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails if it has ended
	<-p.ended
}

// pause stops the process: its connections stay, and nothing answers.
func (p *process) pause() {
	p.t.Helper()
	p.signal(syscall.SIGSTOP)
	eventually(p.t, p.name+" to stand still: the signal alone lets it go on for a moment", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
		_, state, _ := bytes.Cut(stat, []byte(") "))
		return err == nil && bytes.HasPrefix(state, []byte("T"))
	})
}

// resume lets a paused process go on.
func (p *process) resume() { p.signal(syscall.SIGCONT) }

// endsWithin waits for the end of the process and returns its exit code.
func (p *process) endsWithin(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(limit):
		p.t.Fatalf("%s has not ended within %v", p.name, limit)
	}
	return p.cmd.ProcessState.ExitCode()
}

// terminate asks the process to end and wants exit code 0 in time.
func (p *process) terminate(limit time.Duration) {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.endsWithin(limit); code != 0 {
		p.t.Errorf("%s ended with %d", p.name, code)
	}
}

// alive fails the test if the process has ended.
func (p *process) alive() {
	p.t.Helper()
	select {
	case <-p.ended:
		p.t.Errorf("%s has ended: %v", p.name, p.cmd.ProcessState)
	default:
	}
}
