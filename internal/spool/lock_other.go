//go:build !unix || solaris || illumos || aix

package spool

import (
	"errors"
	"os"
	"syscall"
)

// tryLock cannot tell the files of a dead front here: they stay.
func tryLock(f *os.File) error {
	if _, err := f.Seek(0, 1); err != nil {
		return err
	}
	if info, err := f.Stat(); err != nil || info.Size() > 0 {
		return errors.ErrUnsupported
	}
	return nil // it is being made
}

// isFull reports whether a disk is full.
func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) }
