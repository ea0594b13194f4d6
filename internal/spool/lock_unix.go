//go:build unix && !solaris && !illumos && !aix

package spool

import (
	"errors"
	"os"
	"syscall"
)

// tryLock takes a lock that ends with the process, or fails at once.
func tryLock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }

// isFull reports whether a disk is full, or its owner's share of it.
func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }
