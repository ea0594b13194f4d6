package httpfront

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/stretchr/testify/require"
)

var dateLine = regexp.MustCompile(`Date: [^\r]*\r\n`)

// What workers answer, and what clients get, to the byte but for Date.
func TestAnswersByteForByte(t *testing.T) {
	const get11, head11, get10 = "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"
	const broken = "HTTP/1.1 502 Bad Gateway\r\n"
	for _, tt := range []struct{ name, send, answer, want string }{
		{"plain", get11, "HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nab", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\n\r\nab"},
		{"to HTTP/1.0", get10, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab"},
		{"to HTTP/1.0 that stays", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nab", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nab"},
		{"cookies", get11, "HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/x\r\nset-cookie: a=2; Path=/y\r\nSet-Cookie: b\r\nSet-Cookie: a=1; Path=/x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: a=1; Path=/x\r\nSet-Cookie: a=2; Path=/y\r\nSet-Cookie: b\r\nSet-Cookie: a=1; Path=/x\r\n\r\n"},
		{"repeated", get11, "HTTP/1.1 200 OK\r\nx: 1\r\nX: 2\r\nLink: <a>\r\nx: 1\r\nLink: <b>\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nx: 1\r\nX: 2\r\nLink: <a>\r\nx: 1\r\nLink: <b>\r\n\r\n"},
		{"hop-by-hop", get11, "HTTP/1.1 200 OK\r\nConnection: close, X-Mine\r\nKeep-Alive: timeout=5\r\nX-Mine: 1\r\nUpgrade: h2c\r\nTrailer: X\r\nX-Yours: 2\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Yours: 2\r\n\r\n"},
		{"HEAD", head11, "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n"},
		{"HEAD with a body", head11, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"},
		{"HEAD without a length", head11, "HTTP/1.1 200 OK\r\nX: 1\r\n\r\n", "HTTP/1.1 200 OK\r\nX: 1\r\n\r\n"},
		{"HEAD with a coding", head11, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"},
		{"204", get11, "HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n", "HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n"},
		{"204 with a length", get11, "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"},
		{"204 with a body", get11, "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nab", "HTTP/1.1 204 No Content\r\n\r\n"},
		{"304", get11, "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n"},
		{"304 with a body", get11, "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nab", "HTTP/1.1 304 Not Modified\r\n\r\n"},
		{"204 to HEAD", head11, "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"},
		{"unknown status", get11, "HTTP/1.1 299 Something\r\n\r\n", "HTTP/1.1 299 Unknown Status Code\r\nContent-Length: 0\r\n\r\n"},
		{"100", get11, "HTTP/1.1 100 Continue\r\n\r\n", broken},
		{"101", get11, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", broken},
		{"103", get11, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", broken},
		{"99", get11, "HTTP/1.1 99 Low\r\n\r\n", broken},
		{"1000", get11, "HTTP/1.1 1000 High\r\n\r\n", broken},
		{"HTTP/2", get11, "HTTP/2 200 OK\r\n\r\n", broken},
		{"two lengths", get11, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc", broken},
		{"length and coding", get11, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", broken},
		{"too long", get11, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 200 OK\r\n\r\n", broken},
		{"bad chunks", get11, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab\r\n0\r\n\r\n", broken},
		{"folded", get11, "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", broken},
		{"CR", get11, "HTTP/1.1 200 OK\r\nX: a\rY: b\r\n\r\n", broken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStand(t, Config{})
			s.cfg.Stage = stage(func(j *loopback.Job) error {
				return s.table.Answer(loopback.Answer{Info: j.Info, Payload: wire.Frames{[]byte(tt.answer)}}, nil)
			})
			c, _ := s.play(append([]byte(tt.send), "GET /livez HTTP/1.0\r\n\r\n"...), 1<<20, errStays)
			got := dateLine.ReplaceAllString(c.out.String(), "")
			if tt.want == broken {
				require.Contains(t, got, broken)
				require.Equal(t, 2, strings.Count(got, "HTTP/1.1 "), "the connection goes on: %s", got)
				return
			}
			require.True(t, strings.HasPrefix(got, tt.want), "%q", got)
			if rest := got[len(tt.want):]; rest != "" {
				require.True(t, strings.HasPrefix(rest, "HTTP/1.1 "), "%q", got)
			}
		})
	}
}

// A handler in this process is held to the same.
func TestTypedAnswersOfHead(t *testing.T) {
	for name, tt := range map[string]struct {
		answer *httptext.Response
		want   string
	}{
		"with the body": {httptext.NewText(200, "abc"), "Content-Length: 3\r\n"},
		"with a length": {&httptext.Response{Header: httptext.Header{{Name: "Content-Length", Value: "7"}}}, "Content-Length: 7\r\n"},
		"empty":         {&httptext.Response{}, "Content-Length: 0\r\n"},
		"interim":       {&httptext.Response{Status: 103}, "HTTP/1.1 500 "},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t, Config{})
			s.cfg.Stage = stage(func(j *loopback.Job) error {
				return s.table.Answer(loopback.Answer{Info: j.Info, Payload: tt.answer}, nil)
			})
			c, _ := s.play([]byte("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"), 1<<20, errStays)
			require.Contains(t, c.out.String(), tt.want)
			require.True(t, bytes.HasSuffix(c.out.Bytes(), []byte("\r\n\r\n")), "%q", c.out.String())
		})
	}
}
