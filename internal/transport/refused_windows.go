package transport

import "golang.org/x/sys/windows"

// errRefused is what a connect to a socket file without listener fails with.
const errRefused = windows.WSAECONNREFUSED
