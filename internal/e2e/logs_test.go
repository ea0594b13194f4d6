//go:build linux

package e2e

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// The reader of the access log may go: the daemon says so and serves on.
func TestAccessLogWithoutReader(t *testing.T) {
	t.Parallel()
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	cmd := exec.Command(binary, "--listen", "127.0.0.1:0", "--access-log", "/proc/self/fd/3", "--workers", "1")
	cmd.ExtraFiles = []*os.File{writer}
	onFile := start(t, "whole, log in a file", cmd)
	shell := exec.Command("/bin/sh", "-c", `exec "$0" --listen 127.0.0.1:0 --access-log - --workers 1 >&3`, binary)
	shell.ExtraFiles = []*os.File{writer}
	onStdout := start(t, "whole, log on stdout", shell)
	addrs := []string{served(onFile), served(onStdout)}
	require.NoError(t, writer.Close())
	require.NoError(t, reader.Close())
	for i, p := range []*process{onFile, onStdout} {
		answersPrimes(t, addrs[i])
		p.says("access log not written")
		answersPrimes(t, addrs[i])
		p.terminate(drainLimit)
	}
}
