package httptext

import (
	"bufio"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

// read has fasthttp parse a request, as its server does.
func read(t testing.TB, text string) *fasthttp.RequestCtx {
	t.Helper()
	var ctx fasthttp.RequestCtx
	require.NoError(t, ctx.Request.Read(bufio.NewReader(strings.NewReader(text))))
	return &ctx
}

func TestFromFastHTTP(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"verbatim", "GET /a%2Fb?c=%26+d HTTP/1.1\r\nhOST: h\r\nX-A:1\r\nX-A:  2 \r\n\r\n", "GET /a%2Fb?c=%26+d HTTP/1.1\r\nhOST: h\r\nX-A: 1\r\nX-A: 2\r\n\r\n"},
		{"1.0 without header", "GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"},
		{"bare LF", "GET / HTTP/1.1\nHost: h\n\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\n\r\n"},
		{"body", "PATCH / HTTP/1.1\r\nHost: h\r\nContent-Length: 03\r\n\r\nabc", "PATCH / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"},
		{"POST without a body", "POST / HTTP/1.1\r\nHost: h\r\n\r\n", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"},
		{"chunked", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nT: t\r\n\r\n", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"},
		{"hop-by-hop", "GET / HTTP/1.1\r\nX-B: 1\r\nHost: h\r\nConnection: x-b, Host, Upgrade\r\nUpgrade: h2c\r\nTE: t\r\nProxy-Connection: k\r\nKeep-Alive: 1\r\nX-C: 2\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\nX-C: 2\r\n\r\n"},
		{"empty value", "GET / HTTP/1.1\r\nHost: h\r\nX-Empty:\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\nX-Empty: \r\n\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx := read(t, tt.in)
			r, err := FromFastHTTP(ctx)
			require.NoError(t, err)
			require.Equal(t, tt.want, string(r.Frames()[0]))
			require.Equal(t, len(tt.want), r.Size())

			again, err := ParseRequest(r.Frames()[0])
			require.NoError(t, err)
			require.Equal(t, r.Method, again.Method)
			require.Equal(t, r.Target, again.Target)
			require.Equal(t, r.Body, again.Body)
			require.Equal(t, r.Header(), again.Header())
		})
	}
}

func TestFromFastHTTPKeepsNothing(t *testing.T) {
	const text = "POST /abc HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
	ctx := read(t, text)
	r, err := FromFastHTTP(ctx)
	require.NoError(t, err)
	ctx.Request.Reset()
	require.NoError(t, ctx.Request.Read(bufio.NewReader(strings.NewReader(strings.NewReplacer("abc", "xyz", "Host: h", "Host: i").Replace(text)))))
	require.Equal(t, text, string(r.Frames()[0]))
	require.Equal(t, "/abc", r.Target)
	require.Equal(t, "abc", string(r.Body))
}

func TestDropEmptyFields(t *testing.T) {
	r, err := FromFastHTTP(read(t, "GET / HTTP/1.1\r\nHost: h\r\nX-Empty: \t\r\nA: b\r\n\r\n"))
	require.NoError(t, err)
	require.True(t, r.DropEmptyFields())
	require.False(t, r.DropEmptyFields())
	require.Equal(t, "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n", string(r.Frames()[0]))
}

// What fasthttp lets pass, and others would read in another way.
func TestFromFastHTTPRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"folded":        "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n",
		"blank in name": "GET / HTTP/1.1\r\nHost: h\r\nA b: c\r\n\r\n",
		"identity":      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n",
		"both":          "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := FromFastHTTP(read(t, text))
			var syntax *SyntaxError
			require.ErrorAs(t, err, &syntax)
		})
	}
	_, err := FromFastHTTP(read(t, "GET / HTTP/2.0\r\nHost: h\r\n\r\n"))
	var version *VersionError
	require.ErrorAs(t, err, &version)
	require.Equal(t, "HTTP/2.0", version.Version)
}

func TestWriteTo(t *testing.T) {
	r := &Response{
		Status: 201,
		Header: Header{{"X-A", "1"}, {"X-A", "2"}, {"Set-Cookie", "a=1"}, {"Set-Cookie", "b=2"}, {"Connection", "close"}, {"Content-Type", "t/t"}},
		Body:   []byte("abc"),
	}
	var to fasthttp.Response
	require.NoError(t, r.WriteTo(&to, false))
	text := to.String()
	for _, want := range []string{"HTTP/1.1 201 Created\r\n", "X-A: 1\r\n", "X-A: 2\r\n", "Set-Cookie: a=1\r\n", "Set-Cookie: b=2\r\n", "Content-Type: t/t\r\n", "Content-Length: 3\r\n", "\r\n\r\nabc"} {
		require.Contains(t, text, want)
	}
	require.NotContains(t, text, "Connection")

	to.Reset()
	require.NoError(t, (&Response{Header: Header{{"Content-Length", "12"}}}).WriteTo(&to, true))
	require.Contains(t, to.String(), "Content-Length: 12\r\n")
}
