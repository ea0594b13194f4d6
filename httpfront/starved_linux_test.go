package httpfront

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// starvedEnv makes the test binary the front of TestNoDescriptors.
const starvedEnv = "HTTPFRONT_TEST_STARVED"

// A front without descriptors serves the connections that it has, does not
// spin, and takes the others as soon as it can.
func TestNoDescriptors(t *testing.T) {
	if os.Getenv(starvedEnv) != "" {
		starve(t)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestNoDescriptors$")
	cmd.Env = append(os.Environ(), starvedEnv+"=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	out := bufio.NewReader(stdout)
	addr, err := out.ReadString('\n')
	require.NoError(t, err)

	const clients = 40
	conns := make([]net.Conn, clients)
	for i := range conns {
		c, err := net.Dial("tcp", strings.TrimSpace(addr))
		require.NoError(t, err)
		require.NoError(t, c.SetDeadline(time.Now().Add(soon)))
		_, err = io.WriteString(c, get("/"))
		require.NoError(t, err)
		conns[i] = c
	}
	answer := make([]byte, 4096)
	served := 0
	for _, c := range conns { // in the order in which they were accepted
		require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Second)))
		if _, err := c.Read(answer); err != nil {
			break
		}
		served++
	}
	require.NotZero(t, served)
	require.Less(t, served, clients, "the limit is not one")

	before := processorTime(t, cmd.Process.Pid)
	began, tick := time.Now(), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	require.NoError(t, conns[0].SetReadDeadline(time.Now().Add(soon)))
	for time.Since(began) < time.Second {
		_, err := io.WriteString(conns[0], get("/"))
		require.NoError(t, err)
		_, err = conns[0].Read(answer)
		require.NoError(t, err, "the connections that it has are served")
		<-tick.C
	}
	used := processorTime(t, cmd.Process.Pid) - before
	t.Log(served, "connections served;", used, "of a second on the processor while there are no descriptors")
	require.Less(t, used, 200*time.Millisecond)

	for _, c := range conns[:served] {
		require.NoError(t, c.Close())
	}
	for _, c := range conns[served:] {
		require.NoError(t, c.SetReadDeadline(time.Now().Add(soon)))
		n, err := c.Read(answer)
		require.NoError(t, err)
		require.Contains(t, string(answer[:n]), "HTTP/1.1 200 ")
		require.NoError(t, c.Close())
	}
	require.NoError(t, stdin.Close())
	_, _ = io.Copy(io.Discard, out)
	require.NoError(t, cmd.Wait())
}

// starve runs a front that may have few descriptors, until stdin ends.
func starve(t *testing.T) {
	r := start(t, Config{}, echo)
	open, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	var limit unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	limit.Cur = uint64(len(open) + 15)
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
	fmt.Println(r.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// processorTime returns what a process has used so far.
func processorTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(t, err)
	_, behind, ok := strings.Cut(string(stat), ") ")
	require.True(t, ok)
	fields := strings.Fields(behind)
	ticks := 0
	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.Atoi(f)
		require.NoError(t, err)
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100 // USER_HZ
}
