//go:build unix && !linux

package supervise

import (
	"os/exec"
	"syscall"
)

// apart puts the program into a process group of its own.
func apart(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
