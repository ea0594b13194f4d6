package httpfront

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// part answers a job with a part of a stream.
func (r *rig) part(j *loopback.Job, number uint32, flags wire.Flags, p wire.Payload) {
	info := j.Info
	info.Flags |= wire.Stream | flags
	info.Part = number
	_ = r.table.Answer(loopback.Answer{Info: info, Payload: p}, nil)
}

func text(s string) wire.Payload { return wire.Frames{[]byte(s)} }

// syncBuffer is an access log for tests.
type syncBuffer struct {
	mu  sync.Mutex // guards all
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Parts come as text from other processes; what begins no stream is a 502, and
// its sender is told to stop.
func TestOpeningsOfStreams(t *testing.T) {
	opening := make(chan string, 1)
	r := start(t, Config{}, func(r *rig, j *loopback.Job) error {
		r.part(j, 0, 0, text(<-opening))
		r.part(j, 1, wire.StreamEnd, text("the rest"))
		return nil
	})
	c := r.dial()
	for _, good := range []string{
		"HTTP/1.1 200 OK\r\nX-Kept: yes\r\nConnection: close\r\n\r\nfirst ", "HTTP/1.0 200\nX-Kept: yes\n\nfirst ",
	} {
		opening <- good
		c.send(get("/"))
		a := c.read("GET")
		assert.Equal(t, "first the rest", a.body)
		assert.Equal(t, "yes", a.Header.Get("X-Kept"))
		assert.Equal(t, []string{"chunked"}, a.TransferEncoding)
		assert.False(t, a.Close)
	}
	for _, bad := range []string{
		"", "nonsense", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n",
	} {
		opening <- bad
		c.send(get("/"))
		assert.Equal(t, 502, c.read("GET").StatusCode, "%q", bad)
	}
	assert.Zero(t, r.table.Len())
}

// The access log has a line of a stream when it has ended, with the bytes of its
// body; of one that is refused or has none as well.
func TestAccessLogOfStreams(t *testing.T) {
	log := &syncBuffer{}
	r := start(t, Config{AccessLog: log}, func(r *rig, j *loopback.Job) error {
		first := map[string]wire.Payload{
			"/good":  &httptext.Opening{Response: &httptext.Response{Status: 203, Body: []byte("12345")}},
			"/none":  &httptext.Opening{Response: &httptext.Response{Status: 204}},
			"/wrong": text("nonsense"),
		}[j.Payload.(*httptext.Request).Target]
		r.part(j, 0, 0, first)
		r.part(j, 1, wire.StreamEnd, text(strings.Repeat("6", 100_000-5)[:60_000]))
		return nil
	})
	for _, target := range []string{"/good", "/none", "/wrong"} {
		c := r.dial()
		c.send(get(target))
		c.read("GET")
		_ = c.Close()
	}
	c := r.dial()
	c.send("GET /good HTTP/1.0\r\n\r\n")
	c.read("GET")
	c = r.dial()
	c.send("HEAD /good HTTP/1.1\r\nHost: h\r\n\r\n")
	c.read("HEAD")
	require.Eventually(t, func() bool { return strings.Count(log.String(), "\n") == 5 }, soon, 10*time.Millisecond)
	for _, line := range []string{
		`"GET /good HTTP/1.1" 203 60005 `, `"GET /none HTTP/1.1" 204 0 `, `"GET /wrong HTTP/1.1" 502 `,
		`"GET /good HTTP/1.0" 203 60005 `, `"HEAD /good HTTP/1.1" 203 0 `,
	} {
		assert.Contains(t, log.String(), line)
	}
	assert.NotContains(t, log.String(), ` 502 0 `)
}

// eager sends as much of a stream as it is granted.
type eager struct {
	r   *rig
	job *loopback.Job

	mu     sync.Mutex // guards the fields below
	number uint32
	cost   uint64
}

func (e *eager) Refuse(wire.Key) {}

func (e *eager) Credit(_ wire.Key, granted uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for piece := strings.Repeat("x", 1000); e.cost+wire.PartCost(len(piece)) <= granted; {
		e.number++
		e.cost += wire.PartCost(len(piece))
		e.send(text(piece))
	}
}

func (e *eager) send(p wire.Payload) {
	info := e.job.Info
	info.Flags |= wire.Stream
	info.Part = e.number
	_ = e.r.table.Answer(loopback.Answer{Info: info, Payload: p, From: e}, nil)
}

// A client that takes nothing of a stream is cut off, and its job interrupted.
func TestAStreamWhoseClientTakesNothing(t *testing.T) {
	r := start(t, Config{WriteTimeout: 200 * time.Millisecond}, func(r *rig, j *loopback.Job) error {
		e := &eager{r: r, job: j}
		e.send(&httptext.Opening{Response: &httptext.Response{}})
		go e.Credit(wire.Key{}, wire.InitialCredit)
		return nil
	})
	c := r.dial()
	c.send(get("/"))
	wait(t, r.interrupted)
	assert.EqualValues(t, 1, r.table.Stats().Abandoned)
	a, err := http.ReadResponse(c.br, nil)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, a.Body)
	assert.Error(t, err)
}

// A front that is stopped hard cuts its streams.
func TestAHardStopCutsStreams(t *testing.T) {
	r := start(t, Config{}, func(r *rig, j *loopback.Job) error {
		r.part(j, 0, 0, &httptext.Opening{Response: &httptext.Response{Body: []byte("first")}})
		return nil
	})
	c := r.dial()
	c.send(get("/"))
	a, err := http.ReadResponse(c.br, nil)
	require.NoError(t, err)
	first := make([]byte, 5)
	_, err = io.ReadFull(a.Body, first)
	require.NoError(t, err)
	r.stop()
	_, err = io.ReadAll(a.Body)
	assert.Error(t, err)
	wait(t, r.interrupted)
}
