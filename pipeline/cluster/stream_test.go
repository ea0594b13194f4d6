package cluster_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/httpfront"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
)

// streamer streams by the target of the request.
type streamer struct {
	gate    chan struct{} // what /gated waits for between its parts
	wrote   atomic.Int64  // bytes that were taken of /flood
	running chan struct{} // holds a token once a stream has begun
	ended   chan error    // with what the context of /flood and /quiet ended
}

func newStreamer() *streamer {
	return &streamer{gate: make(chan struct{}), running: make(chan struct{}, 16), ended: make(chan error, 16)}
}

func (s *streamer) Handle(ctx context.Context, job *pipeline.Job) (pipeline.Result, error) {
	r, err := job.Request()
	if err != nil {
		return pipeline.Result{}, err
	}
	head := &pipeline.Response{Status: 203, Header: pipeline.Header{{Name: "X-Kept", Value: "yes"}, {Name: "Content-Length", Value: "7"}}}
	switch send := s.sends()[r.Path()]; {
	case send != nil:
		return pipeline.Stream(head, send), nil
	case r.Path() == "/body":
		head.Body = []byte("first ")
		return pipeline.Stream(head, func(_ context.Context, w *pipeline.StreamWriter) error {
			_, err := w.WriteString("second")
			return err
		}), nil
	case r.Path() == "/bodiless":
		head.Status = 204
		return pipeline.Stream(head, s.flood), nil
	case r.Path() == "/events":
		return pipeline.Events(events), nil
	case r.Path() == "/never":
		<-ctx.Done()
		return pipeline.Result{}, ctx.Err()
	case r.Path() == "/plain":
		return pipeline.Text(200, "plain"), nil
	}
	return pipeline.Result{}, pipeline.Errorf(404, "no stream")
}

func (s *streamer) sends() map[string]func(context.Context, *pipeline.StreamWriter) error {
	return map[string]func(context.Context, *pipeline.StreamWriter) error{
		"/gated":  s.gated,
		"/flood":  s.flood,
		"/quiet":  s.quiet,
		"/large":  func(_ context.Context, w *pipeline.StreamWriter) error { _, err := w.Write(large()); return err },
		"/empty":  func(context.Context, *pipeline.StreamWriter) error { return nil },
		"/early":  func(context.Context, *pipeline.StreamWriter) error { return pipeline.Errorf(418, "too early") },
		"/small":  small,
		"/fail":   func(_ context.Context, w *pipeline.StreamWriter) error { return fail(w, errors.New("out of words")) },
		"/panics": func(_ context.Context, w *pipeline.StreamWriter) error { panic(fail(w, errors.New("panics"))) },
		"/slowly": slowly,
	}
}

// slowly takes longer than the timeout of /slowly's front.
func slowly(ctx context.Context, w *pipeline.StreamWriter) error {
	for i := range 4 {
		if _, err := fmt.Fprintf(w, "%d", i); err != nil {
			return err
		}
		select {
		case <-time.After(400 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (s *streamer) gated(ctx context.Context, w *pipeline.StreamWriter) error {
	for i := range 3 {
		if _, err := fmt.Fprintf(w, "part %d\n", i); err != nil {
			return err
		}
		select {
		case <-s.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (s *streamer) flood(ctx context.Context, w *pipeline.StreamWriter) error {
	s.running <- struct{}{}
	piece := bytes.Repeat([]byte("flood "), 1000)
	for {
		n, err := w.Write(piece)
		s.wrote.Add(int64(n))
		if err != nil {
			s.ended <- context.Cause(ctx)
			return err
		}
	}
}

func (s *streamer) quiet(ctx context.Context, w *pipeline.StreamWriter) error {
	if err := w.Flush(); err != nil {
		return err
	}
	s.running <- struct{}{}
	<-ctx.Done()
	s.ended <- ctx.Err()
	return ctx.Err()
}

func small(_ context.Context, w *pipeline.StreamWriter) error {
	for i := range 5000 {
		if _, err := w.Write([]byte{'a' + byte(i%26)}); err != nil {
			return err
		}
	}
	return nil
}

func fail(w *pipeline.StreamWriter, err error) error {
	_, _ = w.WriteString("some words")
	return err
}

func events(_ context.Context, w *pipeline.EventWriter) error {
	for i := range 3 {
		if err := w.Send(pipeline.Event{ID: fmt.Sprint(i), Data: "a\nb"}); err != nil {
			return err
		}
	}
	return w.Comment("end")
}

func large() []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < 3<<20; i++ {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	return b.Bytes()
}

// deployments runs a test with a streamer in one process with its front, and
// with one behind sockets.
func deployments(t *testing.T, http httpfront.Config, test func(t *testing.T, s *streamer, addr net.Addr)) {
	deploymentsWithin(t, http, 0, test)
}

// deploymentsWithin gives the stage a timeout.
func deploymentsWithin(t *testing.T, http httpfront.Config, timeout time.Duration, test func(t *testing.T, s *streamer, addr net.Addr)) {
	http.Listen = "127.0.0.1:0"
	t.Run("one process", func(t *testing.T) {
		s := newStreamer()
		w, err := cluster.NewWhole(cluster.WholeConfig{Stages: []cluster.Stage{{Name: "streams", Slots: 4, Handler: s, Timeout: timeout}}, HTTP: http})
		require.NoError(t, err)
		stop := start(t, w)
		await(t, w.Ready())
		test(t, s, w.Addr())
		require.NoError(t, stop())
	})
	t.Run("sockets", func(t *testing.T) {
		s := newStreamer()
		f, _ := remoteWithin(t, http, s, timeout)
		test(t, s, f.Addr())
	})
}

// remote starts a front, a proxy and a worker that talk over sockets. It returns
// the worker's hard stop, too.
func remote(t *testing.T, http httpfront.Config, h pipeline.Handler) (*cluster.Front, func() error) {
	t.Helper()
	return remoteWithin(t, http, h, 0)
}

func remoteWithin(t *testing.T, http httpfront.Config, h pipeline.Handler, timeout time.Duration) (*cluster.Front, func() error) {
	t.Helper()
	http.Listen = "127.0.0.1:0"
	dir := t.TempDir()
	end := func(name string) string { return "ipc://" + filepath.Join(dir, name) }
	p, err := cluster.NewProxy(cluster.ProxyConfig{
		Stage: "streams", Upstream: end("up"), Downstream: end("down"), Timeout: timeout,
		Fronts: []loopback.FrontEndpoint{{Endpoint: end("loop")}}, Interrupts: []string{end("int")},
	})
	require.NoError(t, err)
	start(t, p)
	f, err := cluster.NewFront(cluster.FrontConfig{HTTP: http, Proxy: end("up"), Loopback: end("loop"), Interrupt: end("int")})
	require.NoError(t, err)
	start(t, f)
	await(t, f.Ready())
	w, err := pipeline.NewWorker(pipeline.WorkerConfig{
		Stage: "streams", Handler: h, Slots: 4, Upstream: end("down"), Timeout: timeout,
		Fronts: []loopback.FrontEndpoint{{Endpoint: end("loop")}}, Interrupts: []string{end("int")},
	})
	require.NoError(t, err)
	return f, start(t, w)
}

// raw sends a request and returns the connection.
func raw(t *testing.T, addr net.Addr, request string) (*net.TCPConn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	_, err = io.WriteString(c, request)
	require.NoError(t, err)
	return c.(*net.TCPConn), bufio.NewReader(c)
}

func asks(method, path, version string) string {
	return method + " " + path + " HTTP/" + version + "\r\nHost: h\r\n\r\n"
}

// read reads the answer to a request; err is what the body ended with.
func read(t *testing.T, r *bufio.Reader, method string) (a *http.Response, body string, err error) {
	t.Helper()
	a, err = http.ReadResponse(r, &http.Request{Method: method})
	require.NoError(t, err)
	b, err := io.ReadAll(a.Body)
	return a, string(b), err
}

func TestStreamsArriveWhole(t *testing.T) {
	letters := make([]byte, 5000)
	for i := range letters {
		letters[i] = 'a' + byte(i%26)
	}
	event := func(i int) string { return fmt.Sprintf("id: %d\ndata: a\ndata: b\n\n", i) }
	bodies := map[string]string{
		"/body": "first second", "/empty": "", "/large": string(large()), "/small": string(letters),
		"/events": event(0) + event(1) + event(2) + ":end\n\n",
	}
	deployments(t, httpfront.Config{}, func(t *testing.T, _ *streamer, addr net.Addr) {
		for path, want := range bodies {
			_, r := raw(t, addr, asks("GET", path, "1.1")+asks("GET", "/plain", "1.1"))
			a, body, err := read(t, r, "GET")
			require.NoError(t, err, path)
			assert.True(t, want == body, "%s: %d bytes, want %d", path, len(body), len(want))
			assert.Equal(t, []string{"chunked"}, a.TransferEncoding, path)
			assert.Empty(t, a.Header.Get("Content-Length"))
			if path != "/events" {
				assert.Equal(t, 203, a.StatusCode)
				assert.Equal(t, "yes", a.Header.Get("X-Kept"))
			} else {
				assert.Equal(t, "text/event-stream", a.Header.Get("Content-Type"))
			}
			_, body, err = read(t, r, "GET")
			require.NoError(t, err)
			assert.Equal(t, "plain", body, "the request behind the stream had its turn")

			_, r = raw(t, addr, "GET "+path+" HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
			a, body, err = read(t, r, "GET")
			require.NoError(t, err, path)
			assert.True(t, want == body, "%s by HTTP/1.0: %d bytes, want %d", path, len(body), len(want))
			assert.Empty(t, a.TransferEncoding)
			assert.True(t, a.Close)
			assert.NotEmpty(t, a.Header.Get("Date"))
			_, err = r.ReadByte()
			assert.Equal(t, io.EOF, err)
		}
	})
}

func TestPartsLeaveAtOnce(t *testing.T) {
	deployments(t, httpfront.Config{}, func(t *testing.T, s *streamer, addr net.Addr) {
		for _, version := range []string{"1.1", "1.0"} {
			_, r := raw(t, addr, asks("GET", "/gated", version))
			a, err := http.ReadResponse(r, nil)
			require.NoError(t, err)
			body := bufio.NewReader(a.Body)
			for i := range 3 {
				line, err := body.ReadString('\n')
				require.NoError(t, err)
				assert.Equal(t, fmt.Sprintf("part %d\n", i), line)
				s.gate <- struct{}{}
			}
			_, err = body.ReadByte()
			assert.Equal(t, io.EOF, err)
		}
	})
}

// The head of an answer to HEAD, or of one without a body, is all there is, and
// the stream is stopped.
func TestStreamsWithoutABody(t *testing.T) {
	deployments(t, httpfront.Config{}, func(t *testing.T, s *streamer, addr net.Addr) {
		for _, c := range []struct{ method, path string }{{"HEAD", "/flood"}, {"GET", "/bodiless"}} {
			_, r := raw(t, addr, asks(c.method, c.path, "1.1")+asks("GET", "/plain", "1.1"))
			a, body, err := read(t, r, c.method)
			require.NoError(t, err)
			assert.Equal(t, "yes", a.Header.Get("X-Kept"))
			assert.Empty(t, body)
			assert.Empty(t, a.Header.Get("Content-Length"))
			if c.method == "GET" {
				assert.Empty(t, a.TransferEncoding)
			}
			_, body, err = read(t, r, "GET")
			require.NoError(t, err)
			assert.Equal(t, "plain", body)
			assert.Equal(t, context.Canceled, <-s.ended)
		}
		_, r := raw(t, addr, asks("HEAD", "/flood", "1.0"))
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		assert.True(t, bytes.HasSuffix(text, []byte("\r\n\r\n")), "%q", text)
		assert.NotContains(t, string(text), "Content-Length")
		<-s.ended
	})
}

func TestFailedStreamsAreSeenToBe(t *testing.T) {
	deployments(t, httpfront.Config{}, func(t *testing.T, _ *streamer, addr net.Addr) {
		for _, path := range []string{"/fail", "/panics"} {
			_, r := raw(t, addr, asks("GET", path, "1.1"))
			_, body, err := read(t, r, "GET")
			assert.Equal(t, "some words", body)
			assert.ErrorIs(t, err, io.ErrUnexpectedEOF)

			_, r = raw(t, addr, asks("GET", path, "1.0"))
			a, err := http.ReadResponse(r, nil)
			if err == nil { // a reset may overtake what was sent before
				_, err = io.ReadAll(a.Body)
			}
			var reset *net.OpError
			assert.True(t, errors.As(err, &reset), "%v", err)
		}
		status, body := get(t, addr, "/early")
		assert.Equal(t, 418, status)
		assert.Equal(t, "too early", body)
	})
}

// A client that leaves ends the stream's context, whether the worker writes or
// not.
func TestAStreamEndsWhenItsClientLeaves(t *testing.T) {
	deployments(t, httpfront.Config{HalfCloseGrace: time.Millisecond}, func(t *testing.T, s *streamer, addr net.Addr) {
		for _, path := range []string{"/flood", "/quiet"} {
			for _, version := range []string{"1.1", "1.0"} {
				took := time.Hour
				for range 3 { // the best of them: the machine may be busy
					c, r := raw(t, addr, asks("GET", path, version))
					_, err := http.ReadResponse(r, nil)
					require.NoError(t, err)
					<-s.running
					left := time.Now()
					require.NoError(t, c.SetLinger(0))
					require.NoError(t, c.Close())
					assert.Equal(t, context.Canceled, <-s.ended)
					took = min(took, time.Since(left))
				}
				assert.Less(t, took, 100*time.Millisecond, "%s by HTTP/%s", path, version)
			}
		}
	})
}

// A client that does not read holds its worker back, and gets all of it later.
func TestASlowClientHoldsTheStreamBack(t *testing.T) {
	deployments(t, httpfront.Config{}, func(t *testing.T, s *streamer, addr net.Addr) {
		c, r := raw(t, addr, asks("GET", "/flood", "1.1"))
		<-s.running
		last := int64(-1) // it stands still once all buffers are full
		require.Eventually(t, func() bool {
			now := s.wrote.Load()
			defer func() { last = now }()
			return now > 0 && now == last
		}, 10*time.Second, 300*time.Millisecond)
		// Sockets of the system take the most of it.
		assert.Less(t, last, int64(16<<20))
		a, err := http.ReadResponse(r, nil)
		require.NoError(t, err)
		got := make([]byte, last+1<<20)
		_, err = io.ReadFull(a.Body, got)
		require.NoError(t, err)
		assert.Equal(t, strings.Repeat("flood ", len(got)/6+1)[:len(got)], string(got))
		require.NoError(t, c.Close())
		<-s.ended
	})
}

// What a stream costs whose client does not read is bounded: in the front two
// windows and a chunk, in the worker, which is here too, no more than a window.
func TestMemoryOfStreamsThatNobodyReads(t *testing.T) {
	const clients, most = 16, 400 << 10
	deploy := newStreamer()
	w, err := cluster.NewWhole(cluster.WholeConfig{
		Stages: []cluster.Stage{{Name: "streams", Slots: clients, Handler: deploy}},
		HTTP:   httpfront.Config{Listen: "127.0.0.1:0"},
	})
	require.NoError(t, err)
	start(t, w)
	await(t, w.Ready())
	before := heap()
	for range clients {
		c, _ := raw(t, w.Addr(), asks("GET", "/flood", "1.1"))
		require.NoError(t, c.SetReadBuffer(4<<10))
		<-deploy.running
	}
	last := int64(-1)
	require.Eventually(t, func() bool {
		now := deploy.wrote.Load()
		defer func() { last = now }()
		return now > 0 && now == last
	}, 20*time.Second, 300*time.Millisecond)
	each := (int64(heap()) - int64(before)) / clients
	t.Logf("%d KiB for each of %d streams, of which %d KiB have been written", each>>10, clients, last/clients>>10)
	assert.Less(t, each, int64(most))
}

// heap returns the bytes that are in use.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// The timeout of a request is for the first part; behind it StreamIdle counts.
func TestTimesOfAStream(t *testing.T) {
	http := httpfront.Config{Timeout: 600 * time.Millisecond, StreamIdle: 600 * time.Millisecond}
	deployments(t, http, func(t *testing.T, s *streamer, addr net.Addr) {
		_, r := raw(t, addr, asks("GET", "/slowly", "1.1"))
		_, body, err := read(t, r, "GET")
		require.NoError(t, err)
		assert.Equal(t, "0123", body)

		_, r = raw(t, addr, asks("GET", "/quiet", "1.1"))
		_, body, err = read(t, r, "GET")
		assert.Empty(t, body)
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
		assert.Equal(t, context.Canceled, <-s.ended)
	})
}

// A stage's timeout is for the first part, as a request's is: a stream that goes on
// for longer is not cut, nor begun by another worker; what has not begun in time is.
func TestAStreamMayOutlastItsStagesTimeout(t *testing.T) {
	deploymentsWithin(t, httpfront.Config{}, 700*time.Millisecond, func(t *testing.T, s *streamer, addr net.Addr) {
		_, r := raw(t, addr, asks("GET", "/slowly", "1.1")) // 1.6 s
		_, body, err := read(t, r, "GET")
		require.NoError(t, err)
		assert.Equal(t, "0123", body)
		_, r = raw(t, addr, asks("POST", "/never", "1.1"))
		a, _, err := read(t, r, "POST")
		require.NoError(t, err)
		assert.Equal(t, 504, a.StatusCode)
	})
}

// A worker that is stopped hard cuts its streams.
func TestAStreamIsCutWithItsWorker(t *testing.T) {
	s := newStreamer()
	f, stop := remote(t, httpfront.Config{}, s)
	_, r := raw(t, f.Addr(), asks("GET", "/quiet", "1.1"))
	a, err := http.ReadResponse(r, nil)
	require.NoError(t, err)
	<-s.running
	require.NoError(t, stop())
	_, err = io.ReadAll(a.Body)
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

// The front drains: streams go on to their end.
func TestStreamsOutliveADrain(t *testing.T) {
	s := newStreamer()
	w := whole(t, []cluster.Stage{{Name: "streams", Handler: s}})
	start(t, w)
	await(t, w.Ready())
	_, r := raw(t, w.Addr(), asks("GET", "/gated", "1.1"))
	a, err := http.ReadResponse(r, nil)
	require.NoError(t, err)
	down := make(chan error, 1)
	go func() { down <- w.Shutdown(context.Background()) }()
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", w.Addr().String())
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	}, 10*time.Second, time.Millisecond, "it drains")
	for range 3 {
		s.gate <- struct{}{}
	}
	body, err := io.ReadAll(a.Body)
	require.NoError(t, err)
	assert.Equal(t, "part 0\npart 1\npart 2\n", string(body))
	require.NoError(t, <-down)
}

// What has no parts to take is given the whole.
func TestAClientGathersAStream(t *testing.T) {
	s := newStreamer()
	b, err := cluster.NewBench([]cluster.Stage{{Name: "streams", Handler: s}}, nil)
	require.NoError(t, err)
	require.NoError(t, b.Run(t.Context(), func(ctx context.Context) error {
		a, err := b.Do(ctx, []byte(asks("GET", "/large", "1.1")))
		require.NoError(t, err)
		r, err := a.Response()
		require.NoError(t, err)
		assert.Equal(t, 203, r.Status)
		assert.True(t, bytes.Equal(large(), r.Body))

		_, err = b.Do(ctx, []byte(asks("GET", "/flood", "1.1")))
		assert.ErrorIs(t, err, pipeline.ErrGatheredTooLarge)
		assert.Equal(t, context.Canceled, <-s.ended)
		_, err = b.Do(ctx, []byte(asks("GET", "/fail", "1.1")))
		var part *loopback.PartError
		require.ErrorAs(t, err, &part)
		assert.Equal(t, 500, part.Code)
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		_, err = b.Do(short, []byte(asks("GET", "/quiet", "1.1")))
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		<-s.ended
		return nil
	}))
}
