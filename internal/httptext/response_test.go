package httptext

import (
	"errors"
	"testing"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

var _ wire.Payload = (*Response)(nil)

func TestParseResponse(t *testing.T) {
	tests := []struct {
		name, text string
		head       bool
		want       Response
	}{
		{
			name: "prime_server's", text: "HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\n17",
			want: Response{Status: 200, Body: []byte("17")},
		},
		{name: "no reason", text: "HTTP/1.0 404\r\n\r\n", want: Response{Status: 404}},
		{name: "empty reason", text: "HTTP/1.0 404 \r\n\r\n", want: Response{Status: 404}},
		{name: "rest of the frame", text: "HTTP/1.1 200 Fine by me\r\nA: b\r\n\r\nrest", want: Response{Status: 200, Header: Header{{"A", "b"}}, Body: []byte("rest")}},
		{name: "bare LF", text: "HTTP/1.1 200 OK\nA: b\n\nrest", want: Response{Status: 200, Header: Header{{"A", "b"}}, Body: []byte("rest")}},
		{name: "chunked", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", want: Response{Status: 200, Body: []byte("a")}},
		{
			name: "hop-by-hop", text: "HTTP/1.1 200 OK\r\nX-A: 1\r\nConnection: X-A, close\r\nSet-Cookie: a\r\nset-cookie: b\r\nUpgrade: h2\r\n\r\n",
			want: Response{Status: 200, Header: Header{{"Set-Cookie", "a"}, {"set-cookie", "b"}}},
		},
		{name: "HEAD", text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", head: true, want: Response{Status: 200, Header: Header{{"Content-Length", "5"}}}},
		{name: "HEAD with body", text: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", head: true, want: Response{Status: 200, Header: Header{{"Content-Length", "1"}}}},
		{name: "304 with a length", text: "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", want: Response{Status: 304}},
		{name: "204 with a body", text: "HTTP/1.1 204 No Content\r\n\r\nbody", want: Response{Status: 204}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			parse := ParseResponse
			if tt.head {
				parse = ParseHeadResponse
			}
			r, err := parse([]byte(tt.text))
			require.NoError(t, err)
			require.Equal(t, tt.want.Status, r.Status)
			require.Equal(t, string(tt.want.Body), string(r.Body))
			require.ElementsMatch(t, tt.want.Header, r.Header)
			require.NoError(t, r.Check())
		})
	}
}

func TestParseResponseErrors(t *testing.T) {
	for name, text := range map[string]string{
		"empty":       "",
		"garbage":     "hello",
		"a request":   "GET / HTTP/1.1\r\n\r\n",
		"HTTP/2":      "HTTP/2.0 200 OK\r\n\r\n",
		"interim":     "HTTP/1.1 100 Continue\r\n\r\n",
		"long code":   "HTTP/1.1 2000 OK\r\n\r\n",
		"signed code": "HTTP/1.1 +20 OK\r\n\r\n",
		"no code":     "HTTP/1.1\r\n\r\n",
		"reason":      "HTTP/1.1 200 O\x00K\r\n\r\n",
		"no end":      "HTTP/1.1 200 OK\r\nA: b\r\n",
		"short":       "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcd",
		"long":        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcdef",
		"long 304":    "HTTP/1.1 304 OK\r\nContent-Length: 5\r\n\r\nabcdef",
		"nothing":     "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
		"both":        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
		"no chunks":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		"tail":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n",
		"header":      "HTTP/1.1 200 OK\r\nA\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseResponse([]byte(text))
			var syntax *SyntaxError
			var version *VersionError
			require.True(t, errors.As(err, &syntax) || errors.As(err, &version), "%v", err)
		})
	}
}

func TestResponseFrames(t *testing.T) {
	r := &Response{Header: Header{{"A", "b"}, {"Connection", "close"}, {"Content-Length", "99"}}, Body: []byte("body")}
	require.Equal(t, "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 4\r\n\r\nbody", string(r.Frames()[0]))
	require.Equal(t, "HTTP/1.1 204 No Content\r\n\r\n", string((&Response{Status: 204, Body: []byte("x")}).Frames()[0]))
}

func TestRender(t *testing.T) {
	r := NewText(404, "none")
	tests := []struct {
		info wire.Info
		head bool
		want string
	}{
		{wire.Info{Version: 1}, false, "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 4\r\n\r\nnone"},
		{wire.Info{KeepAlive: true}, false, "HTTP/1.0 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: Keep-Alive\r\nContent-Length: 4\r\n\r\nnone"},
		{wire.Info{Version: 1, Close: true}, true, "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: Close\r\nContent-Length: 4\r\n\r\n"},
	}
	for _, tt := range tests {
		require.Equal(t, tt.want, string(r.Render(&tt.info, tt.head)))
		require.EqualValues(t, 404, tt.info.Code)
	}
	announced := &Response{Header: Header{{"content-length", "70"}}}
	require.Equal(t, "HTTP/1.1 200 OK\r\nContent-Length: 70\r\n\r\n", string(announced.Render(&wire.Info{Version: 1}, true)))

	info := wire.Info{Version: 1, Extended: true}
	info.Flags |= wire.Head
	require.Equal(t, "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 4\r\n\r\n", string(RefusalText(&info, 502, "full", 0)))
}

// A handler cannot split a response, whatever it echoes into a header.
func TestResponseCannotSplit(t *testing.T) {
	for _, r := range []*Response{
		{Header: Header{{"A", "b\r\nSet-Cookie: c"}}},
		{Header: Header{{"A\r\nB", "c"}}},
		{Header: Header{{"", "c"}}},
		{Header: Header{{"A", "\n\nHTTP/1.1 200 OK"}}},
		{Status: 100},
		{Status: 1000},
	} {
		var field *FieldError
		require.ErrorAs(t, r.Check(), &field)
		require.NotEmpty(t, field.Error())
		const want = "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 14\r\n\r\ninternal error"
		require.Equal(t, want, string(r.Frames()[0]))
		info := wire.Info{Version: 1}
		require.Equal(t, want, string(r.Render(&info, false)))
		require.EqualValues(t, 500, info.Code)
		var to fasthttp.Response
		require.ErrorAs(t, r.WriteTo(&to, false), &field)
		require.Equal(t, 500, to.StatusCode())
	}
}

// An error of the pipeline's is known as one to a butterfly front, in any
// process, and looks like any answer to others.
func TestNewError(t *testing.T) {
	r := NewError(503, "busy")
	require.True(t, r.Failed())
	require.False(t, NewText(503, "busy").Failed())

	again, err := ParseResponse(r.Frames()[0])
	require.NoError(t, err)
	require.True(t, again.Failed())
	require.Equal(t, "busy", string(again.Body))
	require.Len(t, again.Header, 1, "the mark is not handed on")

	ours := wire.Info{Version: 1, Extended: true}
	ours.Instance = 1
	again, err = ParseResponse(RefusalText(&ours, 503, "busy", time.Hour))
	require.NoError(t, err)
	require.True(t, again.Failed())
	again, err = ParseResponse(RefusalText(&wire.Info{Version: 1}, 503, "busy", 0))
	require.NoError(t, err)
	require.False(t, again.Failed())
	require.Len(t, again.Header, 2)
}
