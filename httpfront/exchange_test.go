package httpfront

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/stretchr/testify/require"
)

func TestExchanges(t *testing.T) {
	r := start(t, Config{LivePath: "/live", ReadyPath: "/ready", MaxBody: 100, MaxTarget: 200, MaxHeaderBytes: 1024}, echo)
	long := strings.Repeat("x", 2000)
	tests := []struct {
		name, send string
		method     string
		status     int
		body       string
		closed     bool
		header     http.Header
	}{
		{name: "GET", send: get("/a%26?b=+c"), status: 200, body: "GET /a%26?b=+c "},
		{name: "HEAD", send: "HEAD /abc HTTP/1.1\r\nHost: h\r\n\r\n", method: "HEAD", status: 200, header: http.Header{"Content-Length": {"10"}}},
		{name: "POST", send: "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", status: 200, body: "POST / abc"},
		{name: "PUT", send: "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", status: 200, body: "PUT / abc"},
		{name: "PATCH", send: "PATCH / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", status: 200, body: "PATCH / abc"},
		{name: "DELETE", send: "DELETE / HTTP/1.1\r\nHost: h\r\n\r\n", status: 200, body: "DELETE / "},
		{name: "OPTIONS", send: "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", status: 200, body: "OPTIONS * "},
		{name: "POST without a body", send: "POST / HTTP/1.1\r\nHost: h\r\n\r\n", status: 200, body: "POST / "},
		{name: "chunked", send: "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", status: 200, body: "POST / abc"},
		{name: "1.0", send: "GET / HTTP/1.0\r\n\r\n", status: 200, body: "GET / ", closed: true},
		{name: "1.0 keep-alive", send: "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", status: 200, body: "GET / "},
		{name: "close", send: "GET / HTTP/1.1\r\nHost: h\r\nConnection: CLOSE\r\n\r\n", status: 200, body: "GET / ", closed: true},
		{name: "TRACE", send: "TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", status: 501},
		{name: "unknown method", send: "BREW / HTTP/1.1\r\nHost: h\r\n\r\n", status: 501},
		{name: "live", send: get("/live?x"), status: 200, body: "ok\n"},
		{name: "ready", send: "HEAD /ready HTTP/1.1\r\nHost: h\r\n\r\n", method: "HEAD", status: 200},
		{name: "POST live", send: "POST /live HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", status: 405, header: http.Header{"Allow": {"GET, HEAD"}}},
		{name: "HTTP/2.0", send: "GET / HTTP/2.0\r\nHost: h\r\n\r\n", status: 505, closed: true},
		{name: "HTTP/3.0", send: "GET / HTTP/3.0\r\nHost: h\r\n\r\n", status: 505, closed: true},
		{name: "HTTP/1.2", send: "GET / HTTP/1.2\r\nHost: h\r\n\r\n", status: 505, closed: true},
		{name: "HTTP/x", send: "GET / HTTP/x\r\nHost: h\r\n\r\n", status: 400, closed: true},
		{name: "http/1.1", send: "GET / http/1.1\r\nHost: h\r\n\r\n", status: 400, closed: true},
		{name: "no request", send: "hello\r\n\r\n", status: 400, closed: true},
		{name: "no host", send: "GET / HTTP/1.1\r\n\r\n", status: 400, closed: true},
		{name: "folded", send: "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n", status: 400, closed: true},
		{name: "TE and CL", send: "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", status: 400, closed: true},
		{name: "negative length", send: "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", status: 400, closed: true},
		{name: "target", send: get("/" + long[:300]), status: 414},
		{name: "header", send: "GET / HTTP/1.1\r\nHost: h\r\nX: " + long + "\r\n\r\n", status: 431, closed: true},
		{name: "body", send: "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2000\r\n\r\n" + long, status: 413, closed: true},
		{name: "chunked body", send: "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" + long + "\r\n0\r\n\r\n", status: 413, closed: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := r.dial()
			c.send(tt.send)
			resp := c.read(tt.method)
			require.Equal(t, tt.status, resp.StatusCode)
			if tt.status == 200 {
				require.Equal(t, tt.body, resp.body)
			} else if tt.method != "HEAD" {
				require.NotEmpty(t, resp.Header.Get("X-Request-Id"))
				require.Contains(t, resp.body, resp.Header.Get("X-Request-Id"))
				require.Equal(t, "text/plain; charset=utf-8", resp.Header.Get("Content-Type"))
			}
			for name, want := range tt.header {
				require.Equal(t, want, resp.Header[name])
			}
			require.Equal(t, tt.closed, resp.Close, "the answer says whether it is the last")
			require.NotEmpty(t, resp.Header.Get("Date"))
			require.Empty(t, resp.Header.Get("Server"))
			if tt.closed {
				c.closed()
				return
			}
			c.send(get("/again"))
			require.Equal(t, "GET /again ", c.read("GET").body)
		})
	}
	require.Zero(t, r.table.Len())
}

func TestExpectContinue(t *testing.T) {
	r := start(t, Config{MaxBody: 100}, echo)
	c := r.dial()
	c.send("POST / HTTP/1.1\r\nHost: h\r\nexpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
	require.Equal(t, 100, c.read("POST").StatusCode)
	c.send("abc")
	require.Equal(t, "POST / abc", c.read("POST").body)

	c.send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 101\r\n\r\n")
	early := c.read("POST")
	c.closed()
	c = r.dial()
	c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n\r\n")
	late := c.read("POST")
	c.closed()
	for _, resp := range []reply{early, late} {
		require.Equal(t, 413, resp.StatusCode)
		require.True(t, resp.Close)
		require.Equal(t, "the request's body is too large (request "+resp.Header.Get("X-Request-Id")+")", resp.body)
	}
}

// Every request has an id of its own, also one that could not be read.
func TestRequestIDs(t *testing.T) {
	r := start(t, Config{MaxBody: 100}, echo)
	seen := make(map[string]bool)
	for range 2 {
		for _, text := range []string{
			"hello\r\n\r\n",
			"GET / HTTP/x\r\nHost: h\r\n\r\n",
			"BREW / HTTP/1.1\r\nHost: h\r\n\r\n",
			get("/") + "hello\r\n\r\n",
			"BREW / HTTP/1.1\r\nHost: h\r\n\r\n" + "BREW / HTTP/1.1\r\nHost: h\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 101\r\n\r\n",
		} {
			c := r.dial()
			for range strings.Count(text, "\r\n\r\n") {
				c.send(text[:strings.Index(text, "\r\n\r\n")+4])
				text = text[strings.Index(text, "\r\n\r\n")+4:]
				resp := c.read("GET")
				if id := resp.Header.Get("X-Request-Id"); resp.StatusCode != 200 {
					require.Contains(t, resp.body, "(request "+id+")")
					require.Regexp(t, `^[0-9a-f]{16}-[0-9a-f]{8}-[0-9a-f]{8}$`, id)
					require.False(t, seen[id], "%s has the id of another one", id)
					seen[id] = true
				}
			}
			_ = c.Close()
		}
	}
}

func TestInfo(t *testing.T) {
	jobs := make(chan *loopback.Job, 1)
	route := Route{Timeout: -1, Priority: 2}
	var r *rig
	route.Stage = stage(func(j *loopback.Job) error {
		jobs <- j
		r.reply(j, httptext.NewText(200, ""))
		return nil
	})
	r = start(t, Config{Route: func(*httptext.Request) (Route, error) { return route, nil }}, nil)
	c := r.dial()
	for _, tt := range []struct {
		text             string
		minor            uint8
		keepAlive, close bool
		flags            wire.Flags
	}{
		{get("/"), 1, false, false, wire.Repeatable},
		{"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", 1, false, false, 0},
		{"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", 0, true, false, wire.Repeatable},
		{"HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 1, false, true, wire.Repeatable | wire.Head},
	} {
		c.send(tt.text)
		j := wait(t, jobs)
		require.Equal(t, tt.minor, j.Info.Version)
		require.Equal(t, tt.keepAlive, j.Info.KeepAlive)
		require.Equal(t, tt.close, j.Info.Close)
		require.Equal(t, tt.flags, j.Info.Flags)
		require.EqualValues(t, 2, j.Info.Priority)
		require.NotZero(t, j.Info.Client)
		require.Zero(t, j.Info.Deadline)
		require.Equal(t, j.Payload.(*httptext.Request).Size(), j.Size)
		require.Equal(t, 200, c.read("HEAD").StatusCode)
	}
}

func TestRoute(t *testing.T) {
	r := start(t, Config{Route: func(req *httptext.Request) (Route, error) {
		switch req.Path() {
		case "/only-get":
			return Route{}, &StatusError{Status: 405, Message: "only GET", Allow: "GET"}
		case "/broken":
			return Route{}, errors.New("a secret")
		}
		panic("a secret")
	}}, nil)
	c := r.dial()
	c.send(get("/only-get") + get("/broken") + get("/panic"))
	resp := c.read("GET")
	require.Equal(t, 405, resp.StatusCode)
	require.Equal(t, "GET", resp.Header.Get("Allow"))
	for range 2 {
		resp = c.read("GET")
		require.Equal(t, 500, resp.StatusCode)
		require.NotContains(t, resp.body, "secret")
	}
}

func TestCompat(t *testing.T) {
	jobs := make(chan *loopback.Job, 1)
	r := start(t, Config{Compat: func() bool { return true }}, func(r *rig, j *loopback.Job) error {
		jobs <- j
		return echo(r, j)
	})
	c := r.dial()
	c.send("PATCH / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na")
	require.Equal(t, 501, c.read("PATCH").StatusCode)
	c.send("GET / HTTP/1.1\r\nHost: h\r\nX-Empty:\r\n\r\n")
	require.Equal(t, 200, c.read("GET").StatusCode)
	require.NotContains(t, string((<-jobs).Payload.Frames()[0]), "X-Empty")
}

// A slow first answer holds back the second, and does not wait for it.
func TestPipelining(t *testing.T) {
	jobs := make(chan *loopback.Job, 3)
	r := start(t, Config{}, func(_ *rig, j *loopback.Job) error { jobs <- j; return nil })
	c := r.dial()
	c.send(get("/1") + get("/2") + get("/3"))
	for _, want := range []string{"/1", "/2", "/3"} {
		j := wait(t, jobs)
		require.Equal(t, want, j.Payload.(*httptext.Request).Target)
		r.reply(j, httptext.NewText(200, want))
		require.Equal(t, want, c.read("GET").body, "before the next request is answered")
	}
}

// The first answer does not wait for the second request, be it slow, or never
// whole.
func TestPipeliningWaitsForNothing(t *testing.T) {
	for name, second := range map[string]string{
		"head":    "POST /2 HTTP/1.1\r\nHo",
		"body":    "POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc",
		"chunked": "POST /2 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\na",
		"waiting": "POST /2 HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, Config{}, echo)
			c := r.dial()
			c.send(get("/1") + second)
			require.Equal(t, "GET /1 ", c.read("GET").body)
		})
	}
}

func TestAnswers(t *testing.T) {
	answers := make(chan wire.Payload, 1)
	r := start(t, Config{}, func(r *rig, j *loopback.Job) error { r.reply(j, <-answers); return nil })
	for _, tt := range []struct {
		name   string
		answer wire.Payload
		status int // 0: the connection is closed
		body   string
	}{
		{"text", wire.Frames{[]byte("HTTP/1.0 202 Fine\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")}, 202, "ok"},
		{"last frame", wire.Frames{[]byte("x"), []byte("HTTP/1.1 200 OK\r\n\r\nrest")}, 200, "rest"},
		{"garbage", wire.Frames{[]byte("garbage")}, 502, ""},
		{"cut short", wire.Frames{[]byte("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")}, 502, ""},
		{"split", &httptext.Response{Header: httptext.Header{{Name: "A", Value: "b\r\nC: d"}}}, 500, ""},
		{"empty frame", wire.Frames{{}}, 0, ""},
		{"no frame", wire.Frames{}, 0, ""},
		{"nothing", nil, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := r.dial()
			answers <- tt.answer
			c.send(get("/"))
			if tt.status == 0 {
				c.closed()
				return
			}
			resp := c.read("GET")
			require.Equal(t, tt.status, resp.StatusCode)
			if tt.body != "" {
				require.Equal(t, tt.body, resp.body)
			}
			require.False(t, resp.Close, "the connection is ours")
		})
	}
}

func TestHeadersSurvive(t *testing.T) {
	r := start(t, Config{}, func(r *rig, j *loopback.Job) error {
		req := j.Payload.(*httptext.Request)
		r.reply(j, &httptext.Response{Header: httptext.Header{
			{Name: "Set-Cookie", Value: "a=1"}, {Name: "Set-Cookie", Value: "b=2; Path=/"},
			{Name: "X-Seen", Value: strings.Join(req.Header().Values("x-dup"), "|")},
			{Name: "x-lower", Value: "1"}, {Name: "date", Value: "never"},
		}})
		return nil
	})
	c := r.dial()
	c.send("GET / HTTP/1.1\r\nHost: h\r\nX-Dup: 1\r\nx-dup: 2\r\n\r\n")
	raw, err := c.br.ReadString('\n')
	require.NoError(t, err)
	for !strings.HasSuffix(raw, "\r\n\r\n") {
		line, err := c.br.ReadString('\n')
		require.NoError(t, err)
		raw += line
	}
	for _, want := range []string{"Set-Cookie: a=1\r\n", "Set-Cookie: b=2; Path=/\r\n", "X-Seen: 1|2\r\n", "x-lower: 1\r\n", "Content-Length: 0\r\n"} {
		require.Contains(t, raw, want)
	}
	require.NotContains(t, raw, "never")
}

func TestConfigErrors(t *testing.T) {
	table, err := loopback.NewTable(loopback.TableConfig{})
	require.NoError(t, err)
	good := Config{Listen: "127.0.0.1:0", Table: table, Stage: stage(nil)}
	for field, spoil := range map[string]func(*Config){
		"Listen":         func(c *Config) { c.Listen = "8002" },
		"Table":          func(c *Config) { c.Table = nil },
		"Stage":          func(c *Config) { c.Stage = nil },
		"LivePath":       func(c *Config) { c.LivePath = "live" },
		"ReadyPath":      func(c *Config) { c.LivePath, c.ReadyPath = "/a", "/a" },
		"HeaderTimeout":  func(c *Config) { c.HeaderTimeout = -1 },
		"BodyTimeout":    func(c *Config) { c.BodyTimeout = -1 },
		"IdleTimeout":    func(c *Config) { c.IdleTimeout = -1 },
		"WriteTimeout":   func(c *Config) { c.WriteTimeout = -1 },
		"MaxHeaderBytes": func(c *Config) { c.MaxHeaderBytes = -1 },
		"MaxTarget":      func(c *Config) { c.MaxTarget = -1 },
		"MaxBody":        func(c *Config) { c.MaxBody = -1 },
		"MaxConns":       func(c *Config) { c.MaxConns = -1 },
	} {
		cfg := good
		spoil(&cfg)
		_, err := New(cfg)
		var wrong *ConfigError
		require.ErrorAs(t, err, &wrong)
		require.Equal(t, field, wrong.Field)
		require.Contains(t, err.Error(), field)
	}
	_, err = New(good)
	require.NoError(t, err)
}
