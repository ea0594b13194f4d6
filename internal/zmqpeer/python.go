// Package zmqpeer runs peers that speak ZeroMQ through libzmq, for tests: Python
// programs over Debian's python3-zmq. No binary links it.
package zmqpeer

import (
	"os"
	"os/exec"
	"sync"
	"testing"
)

const (
	// EnvPython names the interpreter to try first.
	EnvPython = "BUTTERFLY_PYTHON"
	// EnvRequire set to 1 makes tests fail that would be skipped, so that CI
	// cannot pass without having run them.
	EnvRequire = "BUTTERFLY_REQUIRE_PEERS"
)

// find looks for an interpreter once per test binary.
var find = sync.OnceValue(func() string {
	for _, name := range []string{os.Getenv(EnvPython), "/usr/bin/python3", "python3"} {
		if name != "" && exec.Command(name, "-c", "import zmq").Run() == nil {
			return name
		}
	}
	return ""
})

// Python returns an interpreter that can import zmq. Where there is none it
// skips the test, or fails it if the environment requires peers.
func Python(tb testing.TB) string {
	tb.Helper()
	python := find()
	switch {
	case python != "":
	case os.Getenv(EnvRequire) == "1":
		tb.Fatal("python3-zmq missing, and " + EnvRequire + "=1 requires it")
	default:
		tb.Skip("python3-zmq missing: no test against libzmq")
	}
	return python
}
