//go:build linux

package parts

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Child is a process that a part has started itself.
type Child struct {
	PID     int
	process *os.Process
}

// Children returns the part's own, held so that a signal reaches no other
// process that comes to have the same number. Release them.
func (p *Part) Children() []*Child {
	parent := p.PID()
	if !p.Running() {
		return nil
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	var children []*Child
	for _, file := range stats {
		pid, err := strconv.Atoi(strings.Split(file, "/")[2])
		if err != nil || parentOf(pid) != parent {
			continue
		}
		process, err := os.FindProcess(pid)
		if err != nil {
			continue
		}
		if parentOf(pid) != parent { // it ended, and another took its number
			_ = process.Release()
			continue
		}
		children = append(children, &Child{pid, process})
	}
	slices.SortFunc(children, func(a, b *Child) int { return a.PID - b.PID })
	return children
}

// Running returns the command lines of all processes that hold text.
func Running(text string) (lines []string) {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil
	}
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(line), text) {
			lines = append(lines, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return lines
}

// parentOf returns the parent of a process, 0 if there is no such process.
func parentOf(pid int) int {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// The name in parentheses may hold blanks; the parent is second behind it.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	parent, _ := strconv.Atoi(fields[1])
	return parent
}

// Signal sends a signal; nothing happens if the child has ended.
func (c *Child) Signal(s os.Signal) { _ = c.process.Signal(s) }

// Release lets go of the child.
func (c *Child) Release() { _ = c.process.Release() }

// Gone waits until the child has ended, for limit at most, and reports whether
// it has.
func (c *Child) Gone(limit time.Duration) bool {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if c.process.Signal(syscall.Signal(0)) != nil {
			return true
		}
	}
	return false
}
