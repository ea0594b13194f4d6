//go:build linux

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var list = stage{"list", "primes.list", "", ""}

// startList starts a pipeline of a stage that streams.
func startList(t *testing.T, scheme string, flags ...string) (*rig, *front, *process) {
	r := newRig(t, scheme)
	f := r.front(ours, []stage{list}, flags...)
	r.proxy(ours, list)
	w := r.worker(ours, list, 4)
	ready(t, f)
	return r, f, w
}

// stream asks for a stream and returns the connection and the answer's body.
func stream(t *testing.T, addr, request string) (*net.TCPConn, *bufio.Reader) {
	t.Helper()
	return streamOf(t, addr, request, 200)
}

func streamOf(t *testing.T, addr, request string, status int) (*net.TCPConn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(c, strings.ReplaceAll(request, "\n", "\r\n"))
	require.NoError(t, err)
	a, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	require.Equal(t, status, a.StatusCode)
	return c.(*net.TCPConn), bufio.NewReader(a.Body)
}

func asksPrimes(query, version, accept string) string {
	return fmt.Sprintf("GET /primes%s HTTP/%s\nHost: x\nAccept: %s\n\n", query, version, accept)
}

func TestStreamOverProcesses(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			_, f, _ := startList(t, scheme)
			for _, version := range []string{"1.1", "1.0"} {
				_, body := stream(t, f.addr, asksPrimes("?to=12", version, "*/*"))
				text, err := io.ReadAll(body)
				require.NoError(t, err)
				assert.Equal(t, "2\n3\n5\n7\n11\n", string(text))
				_, body = stream(t, f.addr, asksPrimes("?from=10&to=12", version, "text/event-stream"))
				text, err = io.ReadAll(body)
				require.NoError(t, err)
				assert.Equal(t, "event: prime\nid: 11\ndata: 11\n\n", string(text))
			}
		})
	}
}

// A worker that is killed while it streams is noticed by its connection's end:
// the client's is ended without the last chunk.
func TestStreamOfAKilledWorker(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			r, f, w := startList(t, scheme)
			_, body := stream(t, f.addr, asksPrimes("", "1.1", "text/event-stream"))
			_, err := body.ReadString('\n')
			require.NoError(t, err)
			w.kill()
			killed := time.Now()
			_, err = io.Copy(io.Discard, body)
			assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
			assert.Less(t, time.Since(killed), soon)
			f.says("stream cut")
			r.worker(ours, list, 1)
			_, body = stream(t, f.addr, asksPrimes("?to=3", "1.1", "*/*"))
			text, err := io.ReadAll(body)
			require.NoError(t, err)
			assert.Equal(t, "2\n3\n", string(text))
		})
	}
}

// Parts do not pass through the proxy: it may die, and the stream goes on.
func TestStreamWithoutItsProxy(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	f := r.front(ours, []stage{list})
	p := r.proxy(ours, list)
	w := r.worker(ours, list, 1)
	ready(t, f)
	_, body := stream(t, f.addr, asksPrimes("?to=100000", "1.1", "*/*"))
	_, err := body.ReadString('\n')
	require.NoError(t, err)
	p.kill()
	text, err := io.ReadAll(body)
	require.NoError(t, err)
	assert.True(t, strings.HasSuffix(string(text), "\n99991\n"))
	r.proxy(ours, list)
	ready(t, f)
	_, body = stream(t, f.addr, asksPrimes("?to=3", "1.1", "*/*"))
	_, err = io.ReadAll(body)
	require.NoError(t, err)
	w.alive()
}

// The front dies: the worker's slots are free again.
func TestStreamOfAKilledFront(t *testing.T) {
	t.Parallel()
	r, f, w := startList(t, "ipc")
	for range 4 { // all slots
		_, body := stream(t, f.addr, asksPrimes("", "1.1", "*/*"))
		_, err := body.ReadString('\n')
		require.NoError(t, err)
	}
	f.kill()
	f = r.front(ours, []stage{list})
	ready(t, f)
	_, body := stream(t, f.addr, asksPrimes("?to=3", "1.1", "*/*"))
	text, err := io.ReadAll(body)
	require.NoError(t, err)
	assert.Equal(t, "2\n3\n", string(text))
	w.alive()
}

// Workers in Python stream as those in Go do, and keep to their credit.
func TestPythonStreams(t *testing.T) {
	t.Parallel()
	_, f, w := startOdd(t, ours, odd, "--timeout", "1s")
	_, body := streamOf(t, f.addr, get("/parts?n=5000"), 203)
	for i := range 5000 {
		line, err := body.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("part %d\n", i), line)
	}
	_, err := body.ReadByte()
	assert.Equal(t, io.EOF, err)
	for path, want := range map[string]int{"/parts?n=0": 0, "/piece": 1 << 20} {
		status := 203
		if want > 0 {
			status = 200
		}
		_, body = streamOf(t, f.addr, get(path), status)
		n, err := io.Copy(io.Discard, body)
		require.NoError(t, err)
		assert.EqualValues(t, want, n)
	}
	_, body = streamOf(t, f.addr, get("/stops?at=1"), 200)
	text, err := io.ReadAll(body)
	assert.Equal(t, "some words", string(text))
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	wants(t, f.addr, get("/stops"), 422, "no more words")

	c, _ := streamOf(t, f.addr, get("/flood"), 200)
	before, last, began := written(t, w), 0, time.Now()
	require.Eventually(t, func() bool { // it stands still, but for what it asks
		now := written(t, w)
		still := now-last < 1000
		last = now
		return still && time.Since(began) > 2*time.Second // the deadline holds no more
	}, patience, 500*time.Millisecond)
	assert.Less(t, last-before, 64<<20, "nobody reads")
	assert.Zero(t, w.printed("closed"))
	require.NoError(t, c.SetLinger(0))
	require.NoError(t, c.Close())
	w.says("closed")
	wants(t, f.addr, "POST /echo HTTP/1.1\nHost: x\nContent-Length: 2\n\nhi", 200, "hi")
}

// Behind a prime_server front the parts are gathered.
func TestPythonStreamIsGathered(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	f := r.front(prime, []stage{odd})
	r.proxy(ours, odd)
	r.python(odd)
	wants(t, f.addr, get("/parts?n=2"), 203, "part 0\npart 1\n")
}
