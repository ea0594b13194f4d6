//go:build !linux

package main

import "syscall"

// diesWithParent cannot be promised here: children are stopped when the program
// ends by itself or by a signal that it sees.
func diesWithParent() *syscall.SysProcAttr { return nil }
