//go:build unix

package supervise

import (
	"os/exec"
	"syscall"
)

// terminate asks the program to end. Its children are its own affair.
func terminate(cmd *exec.Cmd) { _ = cmd.Process.Signal(syscall.SIGTERM) }

// abort ends the program at once, by a signal at which many write down where
// they are.
func abort(cmd *exec.Cmd) { _ = cmd.Process.Signal(syscall.SIGABRT) }

// sweep kills whatever is left of the program's process group.
func sweep(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
