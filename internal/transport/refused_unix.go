//go:build !windows

package transport

import "syscall"

// errRefused is what a connect to a socket file without listener fails with.
const errRefused = syscall.ECONNREFUSED
