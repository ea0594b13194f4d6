package httpfront

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/internal/spool"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const above = 64 << 10

// spooling starts a front whose bodies above a size are spooled; change, if not
// nil, has the last word on the route.
func spooling(t *testing.T, cfg Config, change func(*Route), do func(*rig, *loopback.Job) error) *rig {
	t.Helper()
	if cfg.Spool.Dir == "" {
		cfg.Spool.Dir = filepath.Join(t.TempDir(), "spool")
	}
	var r *rig
	cfg.Route = func(*httptext.Request) (Route, error) {
		route := Route{
			Stage:   stage(func(j *loopback.Job) error { return do(r, j) }),
			MaxBody: 4 << 20, SpoolAbove: above,
		}
		if change != nil {
			change(&route)
		}
		return route, nil
	}
	r = start(t, cfg, nil)
	return r
}

// files returns the bodies in the spool.
func (r *rig) files() (names []string) {
	r.t.Helper()
	entries, err := os.ReadDir(r.cfg.Spool.Dir)
	require.NoError(r.t, err)
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".front") {
			names = append(names, e.Name())
		}
	}
	return names
}

// emptied waits until no body is left.
func (r *rig) emptied() {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return len(r.files()) == 0 && r.spool.Used() == 0 }, soon, time.Millisecond)
}

// read reads a job's body as a worker does, from the text that travels.
func (r *rig) read(j *loopback.Job) (string, error) {
	req, err := httptext.ParseRequest(j.Payload.Frames()[0])
	if err != nil {
		return "", err
	}
	name, size, ok := httptext.SpooledAs(req)
	if !ok {
		return string(req.Body), nil
	}
	f, err := spool.Open([]string{r.cfg.Spool.Dir}, j.Info.Instance, name, size)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	return string(text), err
}

// told answers with what came of the body.
func told(r *rig, j *loopback.Job) error {
	text, err := r.read(j)
	if err != nil {
		return err
	}
	req, _ := httptext.ParseRequest(j.Payload.Frames()[0])
	_, spooled := req.Spooled()
	sum := 0
	for _, c := range []byte(text) {
		sum += int(c)
	}
	r.reply(j, httptext.NewText(200, fmt.Sprintf("%s %d %d %v %d", req.Target, len(text), sum, spooled, len(r.files()))))
	return nil
}

func toldOf(target, body string, spooled bool, files int) string {
	sum := 0
	for _, c := range []byte(body) {
		sum += int(c)
	}
	return fmt.Sprintf("%s %d %d %v %d", target, len(body), sum, spooled, files)
}

func announced(target, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", target, len(body), body)
}

func inChunks(target, body string, size int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", target)
	for len(body) > 0 {
		n := min(size, len(body))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	return b.String() + "0\r\n\r\n"
}

// Bodies above the bound come by a file, others in the job; the file is gone
// with the answer, and what follows on the connection is another request.
func TestLargeBodiesAreSpooled(t *testing.T) {
	r := spooling(t, Config{MaxReceiving: 4 * above}, nil, told)
	small, edge := strings.Repeat("s", 100), strings.Repeat("e", 32<<10)
	over, large := strings.Repeat("o", above+1), strings.Repeat("0123456789", 300_000)
	c := r.dial()
	for _, body := range []string{small, over, edge, large, small} {
		for _, text := range []string{announced("/x", body), inChunks("/x", body, 1000), inChunks("/x", body, 1<<20)} {
			go func() { _, _ = io.WriteString(c.TCPConn, text+get("/next")) }()
			spooled, files := len(body) > above, 0
			if spooled {
				files = 1
			}
			require.Equal(t, toldOf("/x", body, spooled, files), c.read("POST").body)
			require.Equal(t, toldOf("/next", "", false, 0), c.read("GET").body, "pipelined behind it")
		}
	}
	r.emptied()
	require.Zero(t, r.receiving.bytes.Load())
}

// The limit of a route holds, before the body is read where it can, and what a
// prime_server worker might get is not spooled.
func TestLimitsOfARoutesBodies(t *testing.T) {
	compat := false
	r := spooling(t, Config{}, func(route *Route) { route.MaxBody, route.Compat = 1<<20, compat }, told)
	for _, limit := range []int{1 << 20, above} {
		for _, text := range []string{
			fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", limit+1),
			fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", limit+1),
			"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9223372036854775807\r\n\r\n",
			fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", limit+1),
			fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n1\r\n", limit, strings.Repeat("x", limit)),
		} {
			c := r.dial()
			c.send(text)
			require.Equal(t, 413, c.read("POST").StatusCode, text[:50])
			c.closed()
			r.emptied()
		}
		c := r.dial()
		c.send(announced("/", strings.Repeat("x", limit)))
		require.Equal(t, 200, c.read("POST").StatusCode)
		compat = true
	}
}

// A client that waits for it is asked for a body that will be spooled.
func TestSpooledBodyThatIsExpected(t *testing.T) {
	r := spooling(t, Config{}, nil, told)
	body := strings.Repeat("x", 3*above)
	c := r.dial()
	c.send(strings.Replace(announced("/", ""), "Content-Length: 0", fmt.Sprintf("Expect: 100-continue\r\nContent-Length: %d", len(body)), 1))
	require.Equal(t, 100, c.read("POST").StatusCode)
	c.send(body)
	require.Equal(t, toldOf("/", body, true, 1), c.read("POST").body)
}

// Nobody but the front says where a body is.
func TestClientsCannotNameFiles(t *testing.T) {
	r := spooling(t, Config{}, nil, func(r *rig, j *loopback.Job) error {
		r.reply(j, httptext.NewText(200, string(j.Payload.Frames()[0])))
		return nil
	})
	file := fmt.Sprintf("%016x-%s", r.table.Instance(), strings.Repeat("0", 32))
	for _, field := range []string{"X-Butterfly-Body", "x-butterfly-BODY"} {
		for _, rest := range []string{
			field + ": " + file + "\r\nContent-Length: 0\r\n\r\n",
			field + ": " + file + "\r\nContent-Length: 5\r\n\r\nhello",
			"Connection: " + field + "\r\n" + field + ": " + file + "\r\n\r\n",
			"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n" + field + ": " + file + "\r\n\r\n",
		} {
			c := r.dial()
			c.send("POST / HTTP/1.1\r\nHost: h\r\n" + rest)
			text := c.read("POST").body
			require.NotContains(t, strings.ToLower(text), "x-butterfly-body")
			require.NotContains(t, text, file)
		}
	}
	// Beside one of our own there is no other.
	c := r.dial()
	c.send("POST / HTTP/1.1\r\nHost: h\r\nX-Butterfly-Body: " + file + announced("", strings.Repeat("x", above+1))[len("POST  HTTP/1.1\r\nHost: h"):])
	text := c.read("POST").body
	require.Equal(t, 1, strings.Count(text, "X-Butterfly-Body"))
	require.NotContains(t, text, file)
}

// However a request ends its file goes.
func TestFilesGoWithTheirRequests(t *testing.T) {
	body := strings.Repeat("x", 2*above)
	holds := func(r *rig, j *loopback.Job) error { return nil }
	for name, c := range map[string]struct {
		cfg Config
		do  func(*rig, *loopback.Job) error
		end func(*rig, *client)
	}{
		"deadline": {Config{Timeout: 50 * time.Millisecond}, holds, func(_ *rig, c *client) {
			require.Equal(c.t, 504, c.read("POST").StatusCode)
		}},
		"client leaves": {Config{}, holds, func(_ *rig, c *client) {
			require.NoError(c.t, c.SetLinger(0))
			require.NoError(c.t, c.Close())
		}},
		"refused by the stage": {Config{}, func(*rig, *loopback.Job) error { return io.ErrClosedPipe }, func(_ *rig, c *client) {
			require.Equal(c.t, 503, c.read("POST").StatusCode)
		}},
		"hard stop": {Config{}, holds, func(r *rig, _ *client) { r.stop() }},
		"answer that is none": {Config{}, func(r *rig, j *loopback.Job) error {
			r.reply(j, wire.Frames{[]byte("nonsense")})
			return nil
		}, func(_ *rig, c *client) { require.Equal(c.t, 502, c.read("POST").StatusCode) }},
	} {
		t.Run(name, func(t *testing.T) {
			seen := make(chan int, 1)
			r := spooling(t, c.cfg, nil, func(r *rig, j *loopback.Job) error {
				seen <- len(r.files())
				return c.do(r, j)
			})
			client := r.dial()
			client.send(announced("/", body))
			require.Equal(t, 1, wait(t, seen))
			c.end(r, client)
			r.emptied()
		})
	}
}

// An upload that is cut, too slow, or malformed becomes no job and leaves no file.
func TestAbortedUploadsLeaveNothing(t *testing.T) {
	half := strings.Repeat("x", 2*above)
	long := fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", 4*above, half)
	chunk := fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(half), half)
	for name, c := range map[string]struct {
		text string
		end  func(*client)
	}{
		"reset":         {long, func(c *client) { _ = c.SetLinger(0); _ = c.Close() }},
		"closed":        {long, func(c *client) { _ = c.Close() }},
		"half closed":   {long, func(c *client) { _ = c.CloseWrite(); require.Equal(c.t, 400, c.read("POST").StatusCode) }},
		"too slow":      {long, func(c *client) { require.Equal(c.t, 408, c.read("POST").StatusCode) }},
		"chunks, reset": {chunk, func(c *client) { _ = c.SetLinger(0); _ = c.Close() }},
		"bad chunk":     {chunk + "nonsense\r\n", func(c *client) { require.Equal(c.t, 400, c.read("POST").StatusCode) }},
		"trailers":      {chunk + "0\r\nA: " + half, func(c *client) { require.Equal(c.t, 431, c.read("POST").StatusCode) }},
	} {
		t.Run(name, func(t *testing.T) {
			r := spooling(t, Config{}, func(r *Route) {
				if name == "too slow" {
					r.BodyTimeout = 200 * time.Millisecond
				}
			}, func(*rig, *loopback.Job) error {
				assert.Fail(t, "a job was submitted")
				return nil
			})
			client := r.dial()
			client.send(c.text)
			require.Eventually(t, func() bool {
				return name == "too slow" || name == "trailers" || name == "bad chunk" || len(r.files()) == 1
			}, soon, time.Millisecond)
			c.end(client)
			r.emptied()
		})
	}
}

// All bodies together are bounded, those that are announced too.
func TestSpooledBytesAreBounded(t *testing.T) {
	release := make(chan struct{})
	r := spooling(t, Config{Spool: Spool{MaxBytes: 3 * above}}, nil, func(r *rig, j *loopback.Job) error {
		go func() { <-release; _ = told(r, j) }()
		return nil
	})
	body := strings.Repeat("x", 2*above)
	first := r.dial()
	first.send(announced("/", body))
	require.Eventually(t, func() bool { return r.spool.Used() == 2*above }, soon, time.Millisecond)
	for _, text := range []string{
		fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", len(body)),
		inChunks("/", body, 1000),
	} {
		c := r.dial()
		c.send(text)
		resp := c.read("POST")
		require.Equal(t, 503, resp.StatusCode)
		require.Contains(t, []string{"1", "2"}, resp.Header.Get("Retry-After")) // it is spread
		require.Contains(t, resp.body, "no room for the body")
		c.closed()
	}
	small := r.dial()
	small.send(announced("/", "small"))
	close(release)
	require.Equal(t, 200, small.read("POST").StatusCode)
	require.Equal(t, 200, first.read("POST").StatusCode)
	r.emptied()
}

// The file of a request that is answered in parts stays until the last.
func TestFileStaysWhileTheAnswerIsStreamed(t *testing.T) {
	jobs := make(chan *loopback.Job, 1)
	r := spooling(t, Config{}, nil, func(_ *rig, j *loopback.Job) error { jobs <- j; return nil })
	c := r.dial()
	body := strings.Repeat("x", 2*above)
	c.send(announced("/", body))
	j := wait(t, jobs)
	from := &sender{}
	info := j.Info
	info.Flags, info.Code = wire.Stream, 200
	_ = r.table.Answer(loopback.Answer{Info: info, From: from, Payload: &httptext.Opening{Response: &httptext.Response{Status: 200, Body: []byte("begun ")}}}, nil)
	begun := make([]byte, 4096)
	_, err := c.TCPConn.Read(begun)
	require.NoError(t, err)
	text, err := r.read(j)
	require.NoError(t, err)
	require.Equal(t, body, text)
	info.Part, info.Code, info.Flags = 1, 0, wire.Stream|wire.StreamEnd
	_ = r.table.Answer(loopback.Answer{Info: info, From: from, Payload: wire.Frames{[]byte("end")}}, nil)
	r.emptied()
}

// sender is a worker that streams.
type sender struct{}

func (*sender) Credit(wire.Key, uint64) {}
func (*sender) Refuse(wire.Key)         {}

// A body that takes long to come does not use up the time for its answer.
func TestTimeForTheAnswerBeginsBehindTheBody(t *testing.T) {
	r := start(t, Config{Timeout: 300 * time.Millisecond}, echo)
	c := r.dial()
	c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n")
	for range 4 {
		time.Sleep(100 * time.Millisecond) // a slow client
		c.send("x")
	}
	require.Equal(t, 200, c.read("POST").StatusCode)
}

// A spool that cannot be is a front that cannot start.
func TestSpoolThatCannotBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	table, err := loopback.NewTable(loopback.TableConfig{})
	require.NoError(t, err)
	f, err := New(Config{
		Listen: "127.0.0.1:0", Table: table, Spool: Spool{Dir: file},
		Stage: stage(func(*loopback.Job) error { return nil }),
	})
	require.NoError(t, err)
	require.ErrorContains(t, f.Run(context.Background()), "spool")
}
