//go:build linux

package e2e

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/zmqpeer"
)

// spooling is a graph whose large bodies are spooled; its stages are a Go worker
// and a program, to which the Go one does not forward.
func spooling(t *testing.T, r *rig, program bool) (graph, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "spool")
	worker := "worker: echo"
	if program {
		script, err := filepath.Abs("../../examples/python/echo_worker.py")
		require.NoError(t, err)
		worker = fmt.Sprintf("command: [%s, -B, %s], count: 2", zmqpeer.Python(t), script)
	}
	return r.write("spool.yaml", fmt.Sprintf(`
version: 1
front: {listen: "127.0.0.1:0", spool: {dir: %s}}
routes:
  - {prefix: /, stage: echo, max_body: 1GiB, spool_above: 64KiB, repeat: always}
stages:
  echo: {%s}
`, dir, worker)), dir
}

// bodies returns the files of a spool that are bodies.
func bodies(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".front") {
			names = append(names, e.Name())
		}
	}
	return names
}

// noise is a reader of size bytes that nothing compresses.
func noise(size int64, seed uint64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{byte(seed)}), size)
}

// sumOf returns the digest of all that is read.
func sumOf(t *testing.T, r io.Reader) string {
	t.Helper()
	h := sha256.New()
	_, err := io.Copy(h, r)
	require.NoError(t, err)
	return fmt.Sprintf("%x", h.Sum(nil))
}

// echoesLarge sends a body of a size, with its length or in chunks, and wants it
// back.
func echoesLarge(t *testing.T, addr string, size int64, chunked bool) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/large", noise(size, 7))
	require.NoError(t, err)
	if request.ContentLength = size; chunked {
		request.ContentLength = -1
	}
	client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
	defer client.CloseIdleConnections()
	a, err := client.Do(request)
	require.NoError(t, err)
	defer func() { _ = a.Body.Close() }()
	require.Equal(t, 200, a.StatusCode)
	assert.Equal(t, sumOf(t, noise(size, 7)), sumOf(t, a.Body))
}

// Bodies that no message could hold reach Go workers and programs, in one process
// and in several, and leave nothing behind.
func TestLargeBodiesByFiles(t *testing.T) {
	for _, c := range []struct {
		name    string
		program bool
		command []string
	}{
		{"one process", false, []string{"run"}},
		{"processes", false, []string{"up"}},
		{"python", true, []string{"up"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "ipc")
			graph, dir := spooling(t, r, c.program)
			args := append(c.command, graph)
			p := r.run("graph", args...)
			f := p.readies("front")
			echoesLarge(t, f.addr, 80<<20, false)
			echoesLarge(t, f.addr, 300<<10, true)
			echoesLarge(t, f.addr, 64<<10, true)
			eventually(t, "an empty spool", func() bool { return len(bodies(t, dir)) == 0 })
			wants(t, f.addr, post("small"), 200, "small")
			p.terminate(drainLimit)
			entries, err := os.ReadDir(dir)
			require.NoError(t, err)
			assert.Empty(t, entries)
		})
	}
}

// A front that is killed leaves files, which its successor removes; the body of a
// job whose worker is killed is there for the next one.
func TestSpoolOutlivesTheDead(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	graph, dir := spooling(t, r, false)
	run := func(role string) *process {
		return r.run(role, "run", "--run-dir", r.dir+"/run", "--role", role, graph)
	}
	require.NoError(t, os.Mkdir(r.dir+"/run", 0o700))
	front := run("front")
	run("proxy:echo")
	worker := run("workers:echo")
	f := front.readies("front")

	// The worker is stopped with a job in hand, and killed.
	wants(t, f.addr, post("hi"), 200, "hi")
	worker.pause()
	got := make(chan *http.Response, 1)
	go func() {
		a, err := http.Post("http://"+f.addr+"/", "text/plain", noise(1<<20, 1))
		if assert.NoError(t, err) {
			got <- a
		}
	}()
	eventually(t, "the body", func() bool {
		names := bodies(t, dir)
		if len(names) != 1 {
			return false
		}
		info, err := os.Stat(filepath.Join(dir, names[0]))
		return err == nil && info.Size() == 1<<20
	})
	second := run("workers:echo")
	worker.kill()
	a := <-got
	assert.Equal(t, sumOf(t, noise(1<<20, 1)), sumOf(t, a.Body))
	require.NoError(t, a.Body.Close())
	eventually(t, "an empty spool", func() bool { return len(bodies(t, dir)) == 0 })

	// An upload is under way when the front is killed.
	c, err := net.Dial("tcp", f.addr)
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	_, err = fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", 1<<20, strings.Repeat("x", 100<<10))
	require.NoError(t, err)
	eventually(t, "the upload", func() bool { return len(bodies(t, dir)) == 1 })
	front.kill()
	assert.Len(t, bodies(t, dir), 1)
	front = run("front")
	f = front.readies("front")
	assert.Empty(t, bodies(t, dir))
	echoesLarge(t, f.addr, 1<<20, false)
	for _, p := range []*process{front, second} {
		p.signal(syscall.SIGTERM)
	}
	assert.Zero(t, front.endsWithin(time.Minute))
}
