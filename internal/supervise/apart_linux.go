package supervise

import (
	"os/exec"
	"syscall"
)

// apart puts the program into a process group of its own, and has the system
// kill it when the thread that started it ends.
func apart(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
