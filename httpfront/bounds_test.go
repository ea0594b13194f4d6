package httpfront

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/stretchr/testify/require"
)

func TestTimeout(t *testing.T) {
	r := start(t, Config{Timeout: time.Millisecond}, func(*rig, *loopback.Job) error { return nil })
	c := r.dial()
	for range 2 {
		c.send(get("/"))
		resp := c.read("GET")
		require.Equal(t, 504, resp.StatusCode)
		id := wait(t, r.interrupted).String()
		require.Equal(t, id, resp.Header.Get("X-Request-Id"))
		require.Contains(t, resp.body, id)
	}
}

func TestFull(t *testing.T) {
	jobs := make(chan *loopback.Job, 1)
	r := startWith(t, Config{}, loopback.TableConfig{MaxPending: 1}, hold(jobs))
	first, second := r.dial(), r.dial()
	first.send(get("/"))
	j := wait(t, jobs)
	second.send(get("/"))
	resp := second.read("GET")
	require.Equal(t, 503, resp.StatusCode)
	require.Contains(t, []string{"1", "2"}, resp.Header.Get("Retry-After"))
	require.False(t, resp.Close)
	r.reply(j, httptext.NewText(200, "done"))
	require.Equal(t, "done", first.read("GET").body)
	second.send(get("/"))
	r.reply(wait(t, jobs), httptext.NewText(200, "done"))
	require.Equal(t, 200, second.read("GET").StatusCode)
}

func TestStageRefuses(t *testing.T) {
	r := start(t, Config{}, func(*rig, *loopback.Job) error { return errors.New("a secret") })
	c := r.dial()
	c.send(get("/"))
	resp := c.read("GET")
	require.Equal(t, 503, resp.StatusCode)
	require.NotContains(t, resp.body, "secret")
	require.Zero(t, r.table.Len())
	require.Empty(t, r.interrupted)
}

// A stage that takes nothing for a while does not fill the log.
func TestRefusedJobsAreLoggedOnceASecond(t *testing.T) {
	out := &lines{more: make(chan struct{}, 1000)}
	log := slog.New(slog.NewTextHandler(out, nil))
	r := start(t, Config{Logger: log}, func(*rig, *loopback.Job) error { return errors.New("no") })
	c := r.dial()
	began := time.Now()
	for range 200 {
		c.send(get("/"))
		require.Equal(t, 503, c.read("GET").StatusCode)
	}
	most := 1 + int(time.Since(began)/time.Second)
	out.mu.Lock()
	defer out.mu.Unlock()
	require.LessOrEqual(t, strings.Count(out.buf.String(), "job not submitted"), most)
	require.Contains(t, out.buf.String(), "jobs=1")
}

func TestMaxConns(t *testing.T) {
	r := start(t, Config{MaxConns: 1}, echo)
	first := r.dial()
	first.send(get("/"))
	first.read("GET")
	second := r.dial()
	resp := second.read("GET")
	require.Equal(t, 503, resp.StatusCode)
	require.True(t, resp.Close)
	require.Contains(t, []string{"1", "2"}, resp.Header.Get("Retry-After"))
	second.closed()
	first.send(get("/"))
	require.Equal(t, 200, first.read("GET").StatusCode)
}

func TestMaxConnsPerClient(t *testing.T) {
	r := start(t, Config{MaxConns: 10, MaxConnsPerClient: 2}, echo)
	var clients []*client
	for range 2 {
		c := r.dial()
		c.send(get("/"))
		require.Equal(t, 200, c.read("GET").StatusCode)
		clients = append(clients, c)
	}
	over := r.dial()
	resp := over.read("GET")
	require.Equal(t, 429, resp.StatusCode)
	require.True(t, resp.Close)
	require.Contains(t, []string{"1", "2"}, resp.Header.Get("Retry-After"))
	over.closed()

	require.NoError(t, clients[0].Close())
	require.Eventually(t, func() bool { return r.conns.len() == 1 }, soon, time.Millisecond)
	c := r.dial()
	c.send(get("/"))
	require.Equal(t, 200, c.read("GET").StatusCode)
}

func TestClientOf(t *testing.T) {
	tcp := func(ip string) netip.Addr { return clientOf(peerOf(&net.TCPAddr{IP: net.ParseIP(ip), Port: 1})) }
	require.Equal(t, tcp("192.0.2.1"), tcp("::ffff:192.0.2.1"))
	require.NotEqual(t, tcp("192.0.2.1"), tcp("192.0.2.2"))
	require.Equal(t, tcp("2001:db8:0:1::1"), tcp("2001:db8:0:1:ffff:ffff:ffff:ffff"))
	require.NotEqual(t, tcp("2001:db8:0:1::1"), tcp("2001:db8:0:2::1"))
	require.Equal(t, clientOf(peerOf(&net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "a"})), clientOf(peerOf(&net.TCPAddr{IP: net.ParseIP("fe80::2"), Zone: "b"})))
	require.False(t, clientOf(peerOf(&net.UnixAddr{Name: "x"})).IsValid())
}

// The default leaves half of the connections to others.
func TestMaxConnsPerClientDefault(t *testing.T) {
	for conns, want := range map[int]int{0: 5000, 1000: 500, 50: 100} {
		require.Equal(t, want, Config{MaxConns: conns}.withDefaults().MaxConnsPerClient)
	}
}

// A registry forgets clients without connections, and never counts below zero.
func TestRegistryForgetsClients(t *testing.T) {
	r := newRegistry(10, 1)
	who := netip.MustParseAddr("192.0.2.1")
	a, b, nobody := &conn{who: who}, &conn{who: who}, &conn{}
	require.NoError(t, r.add(a))
	require.ErrorIs(t, r.add(b), errClient)
	require.NoError(t, r.add(nobody))
	r.remove(a)
	require.Empty(t, r.clients)
	require.NoError(t, r.add(b))
	r.remove(b)
	r.remove(nobody)
	require.Empty(t, r.clients)
	require.Zero(t, r.len())
}

// The answer to a body that is too large reaches a client that sends all of it
// before it reads.
func TestTooLargeIsReadable(t *testing.T) {
	r := start(t, Config{MaxBody: 1000}, echo)
	for name, head := range map[string]string{
		"announced": "Content-Length: 20000000\r\n\r\n",
		"chunked":   "Transfer-Encoding: chunked\r\n\r\n1312d00\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := r.dial()
			c.send("POST / HTTP/1.1\r\nHost: h\r\n" + head)
			c.send(strings.Repeat("x", 20_000_000))
			require.Equal(t, 413, c.read("POST").StatusCode)
			c.closed()
		})
	}
}

func TestSlowSenders(t *testing.T) {
	r := start(t, Config{
		HeaderTimeout: 20 * time.Millisecond, BodyTimeout: 20 * time.Millisecond, IdleTimeout: 20 * time.Millisecond,
	}, echo)
	for name, tt := range map[string]struct {
		send   string
		status int
	}{
		"header":        {"GET / HTTP/1.1\r\nHos", 408},
		"body":          {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab", 408},
		"chunked":       {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", 408},
		"nothing":       {"", 0},
		"idle":          {get("/"), 200},
		"second header": {get("/") + "GET", 200},
	} {
		t.Run(name, func(t *testing.T) {
			c := r.dial()
			c.send(tt.send)
			if tt.status != 0 {
				require.Equal(t, tt.status, c.read("GET").StatusCode)
			}
			if name == "second header" {
				require.Equal(t, 408, c.read("GET").StatusCode)
			}
			c.closed()
		})
	}
}

// A client that does not read is cut off, and costs others nothing.
func TestSlowReader(t *testing.T) {
	large := &httptext.Response{Body: make([]byte, 20_000_000)}
	r := start(t, Config{WriteTimeout: 500 * time.Millisecond}, func(r *rig, j *loopback.Job) error {
		var p wire.Payload = httptext.NewText(200, "small")
		if j.Payload.(*httptext.Request).Target == "/large" {
			p = large
		}
		r.reply(j, p)
		return nil
	})
	slow, quick := r.dial(), r.dial()
	slow.send(get("/large"))
	quick.send(get("/small"))
	require.Equal(t, "small", quick.read("GET").body)
	require.Eventually(t, func() bool { return r.conns.len() == 1 }, soon, time.Millisecond)
	n, _ := io.Copy(io.Discard, slow.br)
	require.Less(t, n, int64(len(large.Body)))

	quick.send(get("/large"))
	require.Len(t, quick.read("GET").body, len(large.Body))
}

// Answers that are not read are bounded together: the oldest are cut, and
// others go on.
func TestUnsentAnswersAreBounded(t *testing.T) {
	const size = 20_000_000 // more than the kernel takes
	large := &httptext.Response{Body: make([]byte, size)}
	r := start(t, Config{MaxUnsent: 5 * size / 2}, func(r *rig, j *loopback.Job) error { r.reply(j, large); return nil })
	var slow []*client
	for n := range 4 {
		c := r.dial()
		c.send(get("/"))
		slow = append(slow, c)
		r.unsentAre(min(n+1, 2), size)
	}
	for _, c := range slow[:2] {
		got, _ := io.Copy(io.Discard, c.br)
		require.Less(t, got, int64(size), "the first ones were cut")
	}
	for _, c := range slow[2:] {
		require.Len(t, c.read("GET").body, size)
	}
	r.unsentAre(0, size)
}

// unsentAre waits until so many answers of a size are counted as not sent, but
// for what left with their heads.
func (r *rig) unsentAre(n, size int) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		r.unsent.mu.Lock()
		defer r.unsent.mu.Unlock()
		least := int64(n) * int64(size) * 99 / 100
		return r.unsent.oldest.Len() == n && least <= r.unsent.bytes && r.unsent.bytes <= int64(n*size)
	}, soon, time.Millisecond)
}

// One answer alone may be larger than the bound.
func TestOneAnswerMayBeLarge(t *testing.T) {
	large := &httptext.Response{Body: make([]byte, 5_000_000)}
	r := start(t, Config{MaxUnsent: 1}, func(r *rig, j *loopback.Job) error { r.reply(j, large); return nil })
	c := r.dial()
	for range 2 {
		c.send(get("/"))
		require.Len(t, c.read("GET").body, len(large.Body))
	}
}

func TestDeadline(t *testing.T) {
	var d deadline
	at, set := d.next(0, 800)
	require.True(t, set)
	require.EqualValues(t, 900, at)
	for now, want := range map[time.Duration]bool{0: false, 50: false, 100: false} {
		_, set = d.next(now, 800)
		require.Equal(t, want, set, now)
	}
	at, set = d.next(101, 800)
	require.True(t, set, "never sooner than asked for")
	require.EqualValues(t, 1001, at)
	at, set = d.next(102, 80)
	require.True(t, set, "a shorter one takes effect")
	require.EqualValues(t, 192, at)
	d.forget()
	_, set = d.next(102, 80)
	require.True(t, set)
}

// lines collects what is written, and says when.
type lines struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{}
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Write(p)
	l.more <- struct{}{}
	return len(p), nil
}

func TestAccessLog(t *testing.T) {
	out := &lines{more: make(chan struct{}, 8)}
	r := start(t, Config{AccessLog: out}, echo)
	c := r.dial()
	c.send("GET /a\"b HTTP/1.1\r\nHost: h\r\n\r\nBREW /x HTTP/1.1\r\nHost: h\r\n\r\nhello\r\n\r\n")
	for range 3 {
		c.read("GET")
	}
	require.NoError(t, c.Close())
	c = r.dial()
	c.send("POST /c HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 20000000\r\n\r\n")
	c.read("POST")
	require.NoError(t, c.Close())
	require.NoError(t, r.Shutdown(t.Context()))
	wait(t, out.more)
	got := strings.Split(strings.TrimSpace(out.buf.String()), "\n")
	require.Len(t, got, 4)
	const host, stamp = `^127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] `, ` [0-9a-f-]+$`
	require.Regexp(t, host+`"GET /a\\x22b HTTP/1\.1" 200 9 \d+`+stamp, got[0])
	require.Regexp(t, host+`"BREW /x HTTP/1\.1" 501 \d+ \d+`+stamp, got[1])
	require.Regexp(t, host+`"-" 400 \d+ -`+stamp, got[2])
	require.Regexp(t, host+`"POST /c HTTP/1\.1" 413 \d+ \d+`+stamp, got[3])
}

// stuck is a writer that blocks until it is released.
type stuck struct{ release chan struct{} }

func (s stuck) Write(p []byte) (int, error) {
	<-s.release
	return len(p), io.ErrShortWrite
}

func TestAccessLogOfASlowWriter(t *testing.T) {
	w := stuck{make(chan struct{})}
	r := start(t, Config{AccessLog: w}, echo)
	a := r.access
	c := r.dial()
	target := "/" + strings.Repeat("x", 8000)
	for lost := false; !lost; {
		c.send(get(target))
		require.Equal(t, 200, c.read("GET").StatusCode)
		a.mu.Lock()
		lost = a.lost > 0
		require.LessOrEqual(t, len(a.buf), accessMax+len(target)+200)
		a.mu.Unlock()
	}
	close(w.release)
}
