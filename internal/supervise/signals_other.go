//go:build !unix

package supervise

import "os/exec"

// apart does nothing where there are no process groups.
func apart(*exec.Cmd) {}

// terminate kills the program: there is no signal to ask with.
func terminate(cmd *exec.Cmd) { _ = cmd.Process.Kill() }

// abort kills the program.
func abort(cmd *exec.Cmd) { _ = cmd.Process.Kill() }

// sweep kills the program.
func sweep(cmd *exec.Cmd) { _ = cmd.Process.Kill() }
