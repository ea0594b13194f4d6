//go:build !linux

package main

import (
	"errors"
	"fmt"
	"runtime"
)

// residentKiB is told by Linux only.
func residentKiB(int) (int64, error) {
	return 0, fmt.Errorf("the resident set on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
