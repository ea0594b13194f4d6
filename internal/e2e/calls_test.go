//go:build linux

package e2e

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// call runs the daemon to its end and returns what it printed.
func call(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	var out, err strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &err
	_ = cmd.Run() // the exit code says the same
	require.NoError(t, ctx.Err(), "%q goes on instead of ending", args)
	return cmd.ProcessState.ExitCode(), out.String(), err.String()
}

// badCalls are arguments, and what the line on stderr has to speak of. DIR is a
// folder with the socket "live" of another process, PORT a port in use.
var badCalls = []struct {
	code        int
	args, speak string
}{
	{2, "--nosuch", "--nosuch"},
	{2, "--workers x", "--workers"},
	{2, "--workers -1", "--workers"},
	{2, "--workers 99999", "4096"},
	{2, "--listen nowhere", "host:port"},
	{2, "--listen 127.0.0.1:99999", "65535"},
	{1, "--listen 127.0.0.1:PORT", "in use"},
	{2, "--timeout 5", "unit"},
	{2, "--timeout -5s", "negative"},
	{2, "--drain soon", "--drain"},
	{2, "--max-body 5x", "no size"},
	{2, "--max-body 0", "--max-body"},
	{2, "--max-header 1", "--max-header"},
	{2, "--max-pending 0", "--max-pending"},
	{2, "--max-conns-per-client -1", "--max-conns-per-client"},
	{2, "--max-requests-per-conn -1", "--max-requests-per-conn"},
	{2, "--drain-delay -1s", "negative"},
	{2, "--drain-delay 10s --drain 10s", "three quarters"},
	{2, "--log-level loud", "--log-level"},
	{2, "--log-format xml", "--log-format"},
	{2, "--live x", "--live"},
	{2, "--live /a --ready /a", "--ready"},
	{1, "--access-log DIR/no/file", "access log"},
	{2, "nosuch", "nosuch"},

	{1, "tcp://127.0.0.1:PORT 2", "in use"},
	{2, "tcp://nowhere 2", "host:port"},
	{2, "ipc://x 2", "ipc://x"},
	{2, "tcp://127.0.0.1:0 0", "number of workers"},
	{2, "tcp://127.0.0.1:0 x", "number of workers"},
	{2, "tcp://127.0.0.1:0 1 x", "drain"},
	{2, "tcp://127.0.0.1:0 1 1,x", "drain"},
	{2, "tcp://127.0.0.1:0 1 1 health", "health"},
	{2, "tcp://127.0.0.1:0 1 1 /health more", "too many"},

	{2, "10,5", "10,5"},
	{2, "1x", "1x"},
	{2, "10 0", "number of workers"},
	{2, "10 1 2", "too many"},

	{2, "front", "--proxy"},
	{2, "front --proxy ipc://DIR/u", "--loopback"},
	{2, "front --proxy ipc://DIR/u --loopback ipc://DIR/l", "--interrupt"},
	{2, "front --proxy bad --loopback ipc://DIR/l --interrupt ipc://DIR/i", "bad"},
	{2, "front --proxy inproc://x --loopback ipc://DIR/l --interrupt ipc://DIR/i", "inproc"},
	{2, "front --name NAME_OF_MORE_THAN_TWENTY_EIGHT_BYTES --proxy ipc://DIR/u --loopback ipc://DIR/l --interrupt ipc://DIR/i", "28"},
	{2, "proxy --front-grace 0s --upstream ipc://DIR/u --downstream ipc://DIR/d", "--front-grace"},
	{2, "worker echo --front-grace 0s --upstream-proxy ipc://DIR/d --loopback ipc://DIR/l --interrupt ipc://DIR/i", "--front-grace"},
	{2, "front --proxy-grace 0s --proxy ipc://DIR/u --loopback ipc://DIR/l --interrupt ipc://DIR/i", "--proxy-grace"},
	{1, "front --listen 127.0.0.1:0 --proxy ipc://DIR/u --loopback ipc://DIR/live --interrupt ipc://DIR/i1", "another process"},
	{1, "front --listen 127.0.0.1:0 --proxy ipc://DIR/u --loopback tcp://127.0.0.1:PORT --interrupt ipc://DIR/i2", "in use"},
	{1, "front --listen 127.0.0.1:0 --proxy ipc://DIR/u --loopback ipc://DIR/l1 --interrupt ipc://DIR/live", "another process"},
	{1, "front --listen 127.0.0.1:PORT --proxy ipc://DIR/u --loopback ipc://DIR/l2 --interrupt ipc://DIR/i3", "in use"},
	{2, "front a b c", "3 arguments"},
	{2, "front tcp://127.0.0.1:0 ipc://DIR/u ipc://DIR/l bad", "bad"},
	{2, "front tcp://127.0.0.1:0 ipc://DIR/u ipc://DIR/l ipc://DIR/i true x", "size"},
	{2, "front tcp://127.0.0.1:0 ipc://DIR/u ipc://DIR/l ipc://DIR/i true 1000 x", "seconds"},
	{2, "front tcp://127.0.0.1:0 ipc://DIR/u ipc://DIR/l ipc://DIR/i true 1000 10 x", "drain"},
	{2, "front tcp://127.0.0.1:0 ipc://DIR/u ipc://DIR/l ipc://DIR/i true 1000 10 1 x", "/"},
	{2, "front tcp://127.0.0.1:0 ipc://DIR/u ipc://DIR/l ipc://DIR/i true 1000 10 1 /x y", "10 arguments"},

	{2, "proxy", "--upstream"},
	{2, "proxy --upstream ipc://DIR/u", "--downstream"},
	{2, "proxy --upstream ipc://DIR/u --downstream ipc://", "ipc://"},
	{2, "proxy --upstream ipc://DIR/u --downstream tcp://x", "host:port"},
	{2, "proxy --upstream ipc://DIR/u --downstream tcp://127.0.0.1:99999", "65535"},
	{2, "proxy --upstream ipc://DIR/u --downstream ipc://DIR/d --loopback ipc://DIR/1 --loopback ipc://DIR/2", "name"},
	{1, "proxy --upstream ipc://DIR/same --downstream ipc://DIR/same", "another process"},
	{1, "proxy --upstream ipc://DIR/u1 --downstream ipc://DIR/live", "another process"},
	{1, "proxy --upstream ipc://DIR/live --downstream ipc://DIR/d1", "another process"},
	{1, "proxy --upstream tcp://127.0.0.1:PORT --downstream ipc://DIR/d2", "in use"},
	{1, "proxy --upstream ipc://DIR/no/folder --downstream ipc://DIR/d3", "no such file"},
	{2, "proxy ipc://DIR/u", "arguments"},
	{2, "proxy ipc://DIR/u bad", "bad"},
	{2, "proxy ipc://DIR/u ipc://DIR/d x", "drain"},
	{2, "proxy ipc://DIR/u ipc://DIR/d 1 2", "arguments"},

	{2, "worker", "echo"},
	{2, "worker nosuch", "primes.parse"},
	{2, "worker echo more", "one worker"},
	{2, "worker echo", "--upstream-proxy"},
	{2, "worker echo --upstream-proxy ipc://DIR/d", "--loopback"},
	{2, "worker echo --upstream-proxy ipc://DIR/d --loopback ipc://DIR/l", "--interrupt"},
	{2, "worker echo --upstream-proxy bad --loopback ipc://DIR/l --interrupt ipc://DIR/i", "bad"},
	{2, "worker echo --upstream-proxy ipc://DIR/d --loopback ipc://DIR/l --interrupt ipc://DIR/i --count -1", "--count"},
	{2, "worker echo --upstream-proxy ipc://DIR/d --loopback ipc://DIR/l --interrupt ipc://DIR/i --count x", "--count"},
}

// A call that cannot work ends at once, with one clear line on stderr; one
// that is wrong in itself points to the help, too.
func TestBadCalls(t *testing.T) {
	t.Parallel()
	dir := newRig(t, "ipc").dir
	for _, at := range [][2]string{{"unix", filepath.Join(dir, "live")}, {"tcp", "127.0.0.1:0"}} {
		l, err := net.Listen(at[0], at[1])
		require.NoError(t, err)
		defer func() { _ = l.Close() }()
		if tcp, ok := l.Addr().(*net.TCPAddr); ok {
			replace := strings.NewReplacer("DIR", dir, "PORT", fmt.Sprint(tcp.Port))
			for _, c := range badCalls {
				checkBadCall(t, c.code, replace.Replace(c.args), replace.Replace(c.speak))
			}
		}
	}
}

func checkBadCall(t *testing.T, want int, args, speak string) {
	t.Helper()
	code, stdout, stderr := call(t, strings.Fields(args)...)
	assert.Equal(t, want, code, args)
	assert.Empty(t, stdout, args)
	lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
	assert.True(t, strings.HasPrefix(lines[0], "prime-serverd: "), "%s: %s", args, stderr)
	assert.Contains(t, lines[0], speak, args)
	if want == 2 {
		assert.Equal(t, "Try 'prime-serverd --help'.", lines[len(lines)-1], args)
		lines = lines[:len(lines)-1]
	}
	assert.Len(t, lines, 1, "%s:\n%s", args, stderr)
}

func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	for args, speak := range map[string]string{
		"--help":        "front",
		"front --help":  "--loopback",
		"proxy --help":  "--downstream",
		"worker --help": "primes.compute",
		"--version":     "prime-serverd ",
	} {
		code, stdout, stderr := call(t, strings.Fields(args)...)
		assert.Equal(t, 0, code, args)
		assert.Contains(t, stdout, speak, args)
		assert.Empty(t, stderr, args)
	}
}

// The simulation prints its result, and nothing else, on stdout.
func TestSimulation(t *testing.T) {
	t.Parallel()
	results := map[string]string{
		"1000 2":                      "167 primes found\n", // all below 1000 but 2
		"7,7":                         "1 primes found\n",
		"100000000000,100000008000 8": "318 primes found\n",
	}
	if !testing.Short() { // some seconds of division
		results["100000000000000,100000000008000 8"] = "238 primes found\n"
	}
	for args, want := range results {
		code, stdout, stderr := call(t, strings.Fields(args)...)
		assert.Equal(t, 0, code, args)
		assert.Equal(t, want, stdout, args)
		assert.Contains(t, stderr, "jobs/s", args)
	}
}
