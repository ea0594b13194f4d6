//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// below returns the processes below one, with their command lines.
func below(t *testing.T, pid int) map[int]string {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	parents := make(map[int]int)
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		id, _ := strconv.Atoi(strings.Split(file, "/")[2])
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		parents[id], _ = strconv.Atoi(fields[1])
	}
	found := make(map[int]string)
	for id := range parents {
		for at := parents[id]; at > 1; at = parents[at] {
			if at == pid {
				line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", id))
				found[id] = strings.ReplaceAll(string(line), "\x00", " ")
			}
		}
	}
	return found
}

// child waits for the process below p whose command line holds text, and
// returns its id.
func (p *process) child(text string) (pid int) {
	p.t.Helper()
	eventually(p.t, "a process with "+text, func() bool {
		for id, line := range below(p.t, p.cmd.Process.Pid) {
			if strings.Contains(line, text) {
				pid = id
				return true
			}
		}
		return false
	})
	return pid
}

// hasEnded reports whether a process is there no more; a zombie is not.
func hasEnded(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// killOne ends a process below a supervisor, and waits for its end.
func killOne(t *testing.T, pid int) {
	t.Helper()
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	eventually(t, "the end of a killed process", func() bool { return hasEnded(pid) })
}
