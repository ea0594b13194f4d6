//go:build linux

package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// tick is the unit of processor time in /proc, on all architectures of Go.
const tick = 10 * time.Millisecond

// cpuTime returns the processor time that a process has used.
func cpuTime(t *testing.T, p *process) time.Duration {
	t.Helper()
	return cpuOf(t, p.cmd.Process.Pid)
}

func cpuOf(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(t, err)
	text := string(stat)
	// The name in parentheses may hold blanks; utime and stime are the 12th
	// and 13th field behind it.
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	user, err := strconv.Atoi(fields[11])
	require.NoError(t, err)
	system, err := strconv.Atoi(fields[12])
	require.NoError(t, err)
	return time.Duration(user+system) * tick
}

// residentKiB returns a process's resident memory.
func residentKiB(t *testing.T, p *process) int {
	t.Helper()
	for line := range strings.Lines(proc(t, p, "status")) {
		if rest, found := strings.CutPrefix(line, "VmRSS:"); found {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			require.NoError(t, err)
			return n
		}
	}
	t.Fatalf("%s has no VmRSS", p.name)
	return 0
}

// descriptors counts a process's open ones.
func descriptors(t *testing.T, p *process) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	require.NoError(t, err)
	return len(entries)
}

func proc(t *testing.T, p *process, name string) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, name))
	require.NoError(t, err)
	return string(text)
}

// connections counts a process's open sockets.
func connections(t *testing.T, p *process) int {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	n := 0
	for _, e := range entries {
		if to, err := os.Readlink(dir + "/" + e.Name()); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

// written returns how many bytes a process has written to files and sockets.
func written(t *testing.T, p *process) int {
	t.Helper()
	for line := range strings.Lines(proc(t, p, "io")) {
		if rest, found := strings.CutPrefix(line, "wchar:"); found {
			n, err := strconv.Atoi(strings.TrimSpace(rest))
			require.NoError(t, err)
			return n
		}
	}
	t.Fatalf("%s has no wchar", p.name)
	return 0
}

// catches reports whether a process has a handler for a signal.
func catches(t *testing.T, p *process, s syscall.Signal) bool {
	t.Helper()
	for line := range strings.Lines(proc(t, p, "status")) {
		if rest, found := strings.CutPrefix(line, "SigCgt:"); found {
			mask, err := strconv.ParseUint(strings.TrimSpace(rest), 16, 64)
			require.NoError(t, err)
			return mask>>(s-1)&1 == 1
		}
	}
	t.Fatalf("%s has no SigCgt", p.name)
	return false
}
