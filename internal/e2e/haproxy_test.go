//go:build linux

package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/zmqpeer"
)

// haproxy runs HAProxy with the configuration that docs/deployment.md shows, but
// for the addresses, and returns its address and what asks it for its servers.
func haproxy(t *testing.T, r *rig, east, west int) (addr string, up func() map[string]bool) {
	t.Helper()
	program, err := exec.LookPath("haproxy")
	if err != nil {
		if os.Getenv(zmqpeer.EnvRequire) != "" {
			t.Fatal("haproxy is missing, and tests are required to have it: apt-get install haproxy")
		}
		t.Skip("haproxy is missing: apt-get install haproxy")
	}
	text, err := os.ReadFile("../../deploy/haproxy.cfg")
	require.NoError(t, err)
	addr = fmt.Sprintf("127.0.0.1:%d", freePort(t))
	socket := filepath.Join(r.dir, "stats")
	config := "global\n    stats socket " + socket + "\n" + strings.NewReplacer(
		"bind :8000", "bind "+addr, "127.0.0.1:8002", fmt.Sprintf("127.0.0.1:%d", east), "127.0.0.1:8003", fmt.Sprintf("127.0.0.1:%d", west),
	).Replace(string(text))
	start(t, "haproxy", exec.Command(program, "-db", "-f", r.write("haproxy.cfg", config)))
	return addr, func() map[string]bool {
		c, err := net.Dial("unix", socket)
		if err != nil {
			return nil
		}
		defer func() { _ = c.Close() }()
		if _, err := c.Write([]byte("show stat\n")); err != nil {
			return nil
		}
		servers := make(map[string]bool)
		for lines := bufio.NewScanner(c); lines.Scan(); {
			if f := strings.Split(lines.Text(), ","); len(f) > 17 && f[0] == "fronts" && f[1] != "BACKEND" {
				servers[f[1]] = strings.HasPrefix(f[17], "UP")
			}
		}
		return servers
	}
}

// keepAsking asks on one connection, and dials again where an answer says that it
// closes. What it asks for may not run twice: only a refused connection is tried
// again. It returns how many right answers there were, and what went wrong first.
func keepAsking(addr, name string, stop <-chan struct{}, answered *atomic.Int64) error {
	var l *link
	for n := 0; ; n++ {
		select {
		case <-stop:
			if l != nil {
				_ = l.Close()
			}
			return nil
		default:
		}
		for l == nil {
			var err error
			if l, err = dial(addr); err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
				return err
			}
		}
		body := fmt.Sprintf("%s-%d", name, n)
		if err := l.send(post(body)); err != nil {
			return fmt.Errorf("request %s: %w", body, err)
		}
		a, err := l.receive("POST", patience)
		switch {
		case err != nil:
			return fmt.Errorf("request %s: %w", body, err)
		case a.status != 200 || a.body != body:
			return fmt.Errorf("request %s: %d %q", body, a.status, a.body)
		}
		answered.Add(1)
		if a.closes {
			_ = l.Close()
			l = nil
		}
	}
}

// Two fronts that share a stage are restarted one after the other behind HAProxy,
// under load of 64 connections: every request has its one answer.
func TestRollingRestartBehindHAProxy(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	ports := map[string]int{"east": freePort(t), "west": freePort(t)}
	graph := r.write("two.yaml", fmt.Sprintf(`
version: 1
fronts:
  east: {listen: "127.0.0.1:%d", drain_delay: 4s}
  west: {listen: "127.0.0.1:%d", drain_delay: 4s}
routes: [{prefix: /, stage: echo}]
stages: {echo: {worker: echo, count: 4}}
`, ports["east"], ports["west"]))
	addr, up := haproxy(t, r, ports["east"], ports["west"])
	require.NoError(t, os.Mkdir(r.dir+"/run", 0o700))
	run := func(role string) *process {
		return r.run(role, "run", "--run-dir", r.dir+"/run", "--role", role, graph)
	}
	run("proxy:echo")
	run("workers:echo")
	fronts := map[string]*process{"east": run("front:east"), "west": run("front:west")}
	both := func() bool { s := up(); return s["east"] && s["west"] }
	eventually(t, "both fronts up", both)

	stop := make(chan struct{})
	var clients sync.WaitGroup
	var answered atomic.Int64
	for n := range 64 {
		clients.Go(func() { assert.NoError(t, keepAsking(addr, fmt.Sprint("client-", n), stop, &answered)) })
	}
	more := func(n int64) {
		want := answered.Load() + n
		eventually(t, "more answers", func() bool { return answered.Load() >= want || t.Failed() })
	}
	more(1000)
	for _, name := range []string{"east", "west"} {
		began := time.Now()
		fronts[name].terminateWhile(patience, func() {
			eventually(t, name+" seen to leave", func() bool { s := up(); return len(s) == 2 && !s[name] })
			assert.Less(t, time.Since(began), 4*time.Second, "the delay is long enough")
			more(500)
		})
		fronts[name] = run("front:" + name)
		eventually(t, "both fronts up again", both)
		more(1000)
	}
	close(stop)
	clients.Wait()
	t.Log(answered.Load(), "requests")
}
