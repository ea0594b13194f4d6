package httptext

import (
	"bufio"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

// read has fasthttp parse a request's head, as its server does.
func read(t testing.TB, text string) (*fasthttp.RequestHeader, *bufio.Reader) {
	t.Helper()
	var h fasthttp.RequestHeader
	br := bufio.NewReader(strings.NewReader(text))
	require.NoError(t, h.Read(br))
	return &h, br
}

// receive gives a request the body that br has, as a front does.
func receive(r *Request, c Coming, br *bufio.Reader) error {
	in := r.Inflow(c)
	pull := func(n int64) error {
		in.Grow(in.Len() + int(n))
		_, err := io.ReadFull(br, in.Free()[:n])
		in.Took(int(n))
		return err
	}
	if !c.Chunked {
		err := pull(c.Length)
		in.Done()
		return err
	}
	chunks := Chunks{MaxExtra: 1000}
	for !chunks.Done() {
		b, err := br.ReadByte()
		if err != nil {
			return err
		}
		if _, err := chunks.Next([]byte{b}); err != nil {
			return err
		}
		if n := chunks.Left(); n > 0 {
			if err := pull(n); err != nil {
				return err
			}
			chunks.Took(int(n))
		}
	}
	in.Done()
	return nil
}

func fromFastHTTP(t testing.TB, text string) (*Request, error) {
	t.Helper()
	h, br := read(t, text)
	r, c, err := FromFastHTTP(h, 0)
	if err == nil && c.Any() {
		err = receive(r, c, br)
	}
	return r, err
}

func TestFromFastHTTP(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"verbatim", "GET /a%2Fb?c=%26+d HTTP/1.1\r\nhOST: h\r\nX-A:1\r\nX-A:  2 \r\n\r\n", "GET /a%2Fb?c=%26+d HTTP/1.1\r\nhOST: h\r\nX-A: 1\r\nX-A: 2\r\n\r\n"},
		{"1.0 without header", "GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"},
		{"absolute form", "GET http://a:1/b HTTP/1.1\r\nX: 1\r\nHost: h\r\n\r\n", "GET http://a:1/b HTTP/1.1\r\nHost: a:1\r\nX: 1\r\n\r\n"},
		{"absolute form in 1.0", "GET HTTPS://[::1]?b HTTP/1.0\r\n\r\n", "GET HTTPS://[::1]?b HTTP/1.0\r\nHost: [::1]\r\n\r\n"},
		{"body", "PATCH / HTTP/1.1\r\nHost: h\r\nContent-Length: \t3 \r\n\r\nabc", "PATCH / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"},
		{"POST without a body", "POST / HTTP/1.1\r\nHost: h\r\n\r\n", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"},
		{"chunked", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nT: t\r\n\r\n", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"},
		{"hop-by-hop", "GET / HTTP/1.1\r\nX-B: 1\r\nHost: h\r\nConnection: x-b, Host, Upgrade\r\nUpgrade: h2c\r\nTE: t\r\nProxy-Connection: k\r\nKeep-Alive: 1\r\nX-C: 2\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\nX-C: 2\r\n\r\n"},
		{"empty value", "GET / HTTP/1.1\r\nHost: h\r\nX-Empty:\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\nX-Empty: \r\n\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := fromFastHTTP(t, tt.in)
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
	const text = "POST /abc HTTP/1.1\r\nHost: h\r\nX: abc\r\n\r\n"
	h, _ := read(t, text)
	r, _, err := FromFastHTTP(h, 0)
	require.NoError(t, err)
	h.Reset()
	require.NoError(t, h.Read(bufio.NewReader(strings.NewReader(strings.NewReplacer("abc", "xyz", "Host: h", "Host: i").Replace(text)))))
	require.Equal(t, strings.TrimSuffix(text, "\r\n")+"Content-Length: 0\r\n\r\n", string(r.Frames()[0]))
	require.Equal(t, "/abc", r.Target)
	require.Equal(t, "abc", r.Header().Get("x"))
}

// A request can be read before its body is there, and what was read stays true.
func TestInflow(t *testing.T) {
	for name, head := range map[string]string{
		"announced": "PUT /abc HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n",
		"chunked":   "PUT /abc HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		for _, room := range []int{0, 3, 1000} {
			t.Run(name, func(t *testing.T) {
				h, _ := read(t, head)
				r, c, err := FromFastHTTP(h, room)
				require.NoError(t, err)
				require.True(t, c.Any())
				method, target, fields := r.Method, r.Target, r.Header()
				in := r.Inflow(c)
				for _, part := range []string{"abc", "def"} {
					in.Grow(in.Len() + len(part))
					require.GreaterOrEqual(t, in.Cap(), in.Len()+len(part))
					in.Took(copy(in.Free(), part))
				}
				require.Equal(t, 6, in.Len())
				require.Nil(t, r.Body)
				in.Done()
				require.Equal(t, "PUT /abc HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabcdef", string(r.Frames()[0]))
				require.Equal(t, "abcdef", string(r.Body))
				require.Equal(t, method+target+fields.Get("host"), "PUT/abch")
			})
		}
	}
}

func TestDropEmptyFields(t *testing.T) {
	r, err := fromFastHTTP(t, "GET / HTTP/1.1\r\nHost: h\r\nX-Empty: \t\r\nA: b\r\n\r\n")
	require.NoError(t, err)
	require.True(t, r.DropEmptyFields())
	require.False(t, r.DropEmptyFields())
	require.Equal(t, "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n", string(r.Frames()[0]))
}

// What fasthttp lets pass, and others would read in another way.
func TestFromFastHTTPRefuses(t *testing.T) {
	const start = "POST / HTTP/1.1\r\nHost: h\r\n"
	for name, text := range map[string]string{
		"folded":             start + "A: b\r\n c\r\n\r\n",
		"blank in name":      start + "A b: c\r\n\r\n",
		"identity":           start + "Transfer-Encoding: identity\r\n\r\n",
		"both":               start + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"leading zero":       start + "Content-Length: 05\r\n\r\n",
		"two zeros":          start + "Content-Length: 00\r\n\r\n",
		"underscore, length": start + "content_length: 5\r\n\r\n",
		"underscore, coding": start + "Transfer_Encoding: chunked\r\n\r\n",
		"fragment":           "GET /#a HTTP/1.1\r\nHost: h\r\n\r\n",
		"not ASCII":          "GET /caf\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n",
		"another scheme":     "GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n",
		"user in target":     "GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n",
		"no host in target":  "GET http:///a HTTP/1.1\r\nHost: h\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := fromFastHTTP(t, text)
			var syntax *SyntaxError
			require.ErrorAs(t, err, &syntax)
		})
	}
	_, err := fromFastHTTP(t, "GET / HTTP/2.0\r\nHost: h\r\n\r\n")
	var version *VersionError
	require.ErrorAs(t, err, &version)
	require.Equal(t, "HTTP/2.0", version.Version)
}

func TestHost(t *testing.T) {
	for host, good := range map[string]bool{
		"h": true, "example.com": true, "example.com:8080": true, "h:": true, "h:65535": true, "192.0.2.1:80": true,
		"[::1]": true, "[2001:db8::1]:443": true, "a_b-c.d~e": true, "a%41": true, "xn--caf-dma.fr": true,
		"": false, ":80": false, "h:x": false, "h:65536": false, "h:-1": false, "h:80:80": false, "u@h": false, "h/p": false,
		"h?q": false, "h#f": false, "a b": false, "a,b": false, "a%4": false, "a%zz": false, "caf\xc3\xa9": false, "h\\": false,
		"[::1": false, "[::1]x": false, "[h]": false, "[127.0.0.1]": false, "[fe80::1%eth0]": false, "[]": false, "::1": false,
		"<h>": false, "h\"": false, "a|b": false,
	} {
		require.Equal(t, good, isHost([]byte(host)), host)
	}
}

func TestExpect(t *testing.T) {
	const post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect: "
	for text, want := range map[string]error{
		post + "100-continue\r\n\r\n":                         nil,
		post + "100-Continue\r\n\r\n":                         nil,
		post + "200-ok\r\n\r\n":                               ErrExpect,
		post + "100-continue, 200-ok\r\n\r\n":                 ErrExpect,
		post + "100-continue\r\nExpect: 100-continue\r\n\r\n": ErrExpect,
	} {
		h, _ := read(t, text)
		_, c, err := FromFastHTTP(h, 0)
		require.Equal(t, want, err)
		require.Equal(t, want == nil, c.Continue)
	}
	for _, text := range []string{
		post + "\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n",
		"POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n",
		"POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: nothing\r\n\r\n",
	} {
		h, _ := read(t, text)
		_, c, err := FromFastHTTP(h, 0)
		require.NoError(t, err)
		require.False(t, c.Continue)
	}
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
