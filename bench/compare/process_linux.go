package main

import "syscall"

// diesWithParent has the kernel kill a child when this program ends in whatever
// way. Strictly it is the thread that started the child whose end counts; the
// runtime ends threads only when a goroutine dies locked to one, and none here
// locks itself.
func diesWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
