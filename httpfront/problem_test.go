package httpfront

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/stretchr/testify/require"
)

func TestPrefersProblem(t *testing.T) {
	for accept, want := range map[string]bool{
		"":    false,
		"*/*": false,
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": false,
		"image/png":                                      false,
		"text/plain":                                     false,
		"application/problem+json":                       true,
		"Application/Problem+JSON ; q=0.1":               true,
		"application/json":                               true,
		"application/json, */*":                          true,
		"application/json;q=0.5, */*":                    false,
		"application/*":                                  true,
		"application/json, text/plain":                   false,
		"application/json, text/plain;q=0.9":             true,
		"application/problem+json, text/plain":           false,
		"text/*;q=0.3, application/json;q=0.4":           true,
		"application/json;q=0":                           false,
		"application/json;q=2":                           false,
		"application/json;q=x":                           false,
		"application/json;v=1;q=1;x":                     true,
		",,;;q=,":                                        false,
		"application/problem+json;q=0, application/json": false,
		"application/json, application/problem+json;q=0": false,
	} {
		require.Equal(t, want, prefersProblem([][]byte{[]byte(accept)}), accept)
	}
	require.True(t, prefersProblem([][]byte{[]byte("text/plain;q=0.5"), []byte("application/json")}), "several fields are one list")
	require.False(t, prefersProblem(nil))
}

// Whoever makes an error, the client gets it in the form that it asks for, with
// the status of the table and the request's id.
func TestErrorsInBothForms(t *testing.T) {
	route := func(req *httptext.Request) (Route, error) {
		switch req.Path() {
		case "/get-only":
			return Route{}, &StatusError{Status: 405, Message: "only GET", Allow: "GET"}
		case "/broken":
			panic("a secret")
		}
		return Route{Timeout: time.Hour}, nil
	}
	var r *rig
	r = start(t, Config{MaxBody: 100, MaxTarget: 200, Route: func(req *httptext.Request) (Route, error) {
		to, err := route(req)
		to.Stage = stage(func(j *loopback.Job) error {
			switch req.Path() {
			case "/typed":
				r.reply(j, httptext.NewError(500, "internal error (request x)"))
			case "/text":
				r.reply(j, wire.Frames(httptext.NewError(503, "the next stage is busy (request x)").Frames()))
			case "/own":
				r.reply(j, httptext.NewText(404, "a handler's own"))
			case "/late":
				r.table.Lost(&j.Info)
			case "/garbage":
				r.reply(j, wire.Frames{[]byte("garbage")})
			}
			return nil
		})
		return to, err
	}}, nil)
	for _, tt := range []struct {
		start, rest string
		status      int
		detail      string
	}{
		{"POST /get-only", "\r\n", 405, "only GET"},
		{"GET /broken", "\r\n", 500, "internal error"},
		{"GET /typed", "\r\n", 500, "internal error"},
		{"GET /text", "\r\n", 503, "the next stage is busy"},
		{"GET /late", "\r\n", 502, "the request was lost on its way"},
		{"GET /garbage", "\r\n", 502, "the stage's answer is no HTTP response"},
		{"BREW /", "\r\n", 501, "the method is not implemented"},
		{"GET /" + strings.Repeat("x", 200), "\r\n", 414, "the request target is too long"},
		{"POST /", "Content-Length: 101\r\n\r\n", 413, "the request's body is too large"},
		{"POST /", "Transfer-Encoding: chunked\r\n\r\nx", 400, "the request is malformed"},
	} {
		ask := func(accept string) reply {
			c := r.dial()
			c.send(tt.start + " HTTP/1.1\r\nHost: h\r\nAccept: " + accept + "\r\n" + tt.rest)
			resp := c.read("GET")
			require.NoError(t, c.Close())
			require.Equal(t, tt.status, resp.StatusCode, tt.start)
			require.NotEmpty(t, resp.Header.Get("X-Request-Id"))
			require.Equal(t, "Accept", resp.Header.Get("Vary"))
			require.Empty(t, resp.Header.Get("X-Butterfly-Error"))
			require.NotContains(t, resp.body, "secret")
			require.Equal(t, tt.status == 405, resp.Header.Get("Allow") == "GET")
			require.Equal(t, tt.status == 503, resp.Header.Get("Retry-After") != "")
			return resp
		}
		resp := ask("application/json")
		require.Equal(t, problemType, resp.Header.Get("Content-Type"))
		var p problem
		require.NoError(t, json.Unmarshal([]byte(resp.body), &p), resp.body)
		require.Equal(t, problem{resp.Status[4:], tt.status, tt.detail, resp.Header.Get("X-Request-Id")}, p)

		resp = ask("*/*")
		require.Equal(t, "text/plain; charset=utf-8", resp.Header.Get("Content-Type"))
		require.Equal(t, tt.detail+" (request "+resp.Header.Get("X-Request-Id")+")", resp.body)
	}

	c := r.dial()
	c.send("GET /own HTTP/1.1\r\nHost: h\r\nAccept: application/json\r\n\r\n")
	resp := c.read("GET")
	require.Equal(t, "a handler's own", resp.body)
	require.Equal(t, "text/plain; charset=utf-8", resp.Header.Get("Content-Type"))
}

// What could not be parsed has no Accept that could be trusted.
func TestErrorsOfWhatIsNoRequestAreText(t *testing.T) {
	r := start(t, Config{}, echo)
	for _, text := range []string{
		"GET / HTTP/1.1\r\nAccept: application/json\r\nHost: a b\r\n\r\n",
		"GET / HTTP/1.1\r\nAccept: application/json\r\n\r\n",
		"GET / HTTP/2.0\r\nAccept: application/json\r\nHost: h\r\n\r\n",
		"GET / HTTP/1.1\r\nAccept: application/json\r\nHost : h\r\n\r\n",
	} {
		c := r.dial()
		c.send(text)
		require.Equal(t, "text/plain; charset=utf-8", c.read("GET").Header.Get("Content-Type"))
	}
}

func TestHeadOfAnError(t *testing.T) {
	r := start(t, Config{}, func(r *rig, j *loopback.Job) error {
		r.reply(j, wire.Frames(httptext.NewError(500, "internal error (request x)").Frames()))
		return nil
	})
	c := r.dial()
	for _, target := range []string{"/", "/"} {
		c.send("HEAD " + target + " HTTP/1.1\r\nHost: h\r\nAccept: application/json\r\n\r\n")
		resp := c.read("HEAD")
		require.Equal(t, 500, resp.StatusCode)
		require.Equal(t, problemType, resp.Header.Get("Content-Type"))
		require.Empty(t, resp.body)
	}
}
