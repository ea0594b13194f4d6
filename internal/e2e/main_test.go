//go:build linux

package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"go.uber.org/goleak"
)

// binary is the daemon under test, built once, and scratch the folder that it
// is in, with the sockets.
var binary, scratch string

func TestMain(m *testing.M) {
	flag.Parse()
	waitMostly()
	var err error
	// Paths of sockets are short by law: 107 bytes.
	if scratch, err = os.MkdirTemp("", "bfly"); err == nil {
		binary = filepath.Join(scratch, "prime-serverd")
		err = build()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(scratch)
		os.Exit(code)
	}))
}

func build() error {
	cmd := exec.Command("go", "build", "-o", binary, "../../cmd/prime-serverd")
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

// waitMostly runs more tests at a time than there are cores, unless the command
// line says how many: they wait for other processes most of the time.
func waitMostly() {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", fmt.Sprint(3*runtime.GOMAXPROCS(0)))
	}
}
