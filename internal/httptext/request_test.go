package httptext

import (
	"errors"
	"strings"
	"testing"

	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/stretchr/testify/require"
)

var _ wire.Payload = (*Request)(nil)

func TestParseRequest(t *testing.T) {
	tests := []struct {
		name, text           string
		method, target, body string
		minor                int
		header               Header
	}{
		{
			name: "plain", text: "GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n",
			method: "GET", target: "/a?b=c", minor: 1, header: Header{{"Host", "x"}},
		},
		{name: "no header", text: "DELETE / HTTP/1.0\r\n\r\n", method: "DELETE", target: "/"},
		{
			name: "body", text: "POST /p HTTP/1.1\r\nContent-Length: 3\r\nX:  y \r\n\r\nabc",
			method: "POST", target: "/p", minor: 1, body: "abc", header: Header{{"X", "y"}},
		},
		{
			name: "bare LF", text: "PUT /p HTTP/1.1\nA: b\n\nrest",
			method: "PUT", target: "/p", minor: 1, body: "rest", header: Header{{"A", "b"}},
		},
		{
			name: "chunked", text: "POST /p HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: t\r\n\r\n",
			method: "POST", target: "/p", minor: 1, body: "abcde",
		},
		{
			name: "chunks decoded by a prime_server front", text: "POST %2Fp HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
			method: "POST", target: "/p", minor: 1, body: "abc",
		},
		{
			name: "hop-by-hop", text: "GET / HTTP/1.1\r\nConnection: close, X-Gone\r\nKeep-Alive: 5\r\nX-Gone: 1\r\nX-Stays: 2\r\nTE: trailers\r\n\r\n",
			method: "GET", target: "/", minor: 1, header: Header{{"X-Stays", "2"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := ParseRequest([]byte(tt.text))
			require.NoError(t, err)
			require.Equal(t, tt.method, r.Method)
			require.Equal(t, tt.target, r.Target)
			require.Equal(t, tt.minor, r.Minor)
			require.Equal(t, tt.body, string(r.Body))
			require.Equal(t, len(tt.header), len(r.Header()))
			for i, f := range tt.header {
				require.Equal(t, f, r.Header()[i])
			}
			require.NoError(t, r.Check())
		})
	}
}

func TestParseRequestErrors(t *testing.T) {
	tests := map[string]string{
		"empty":              "",
		"one word":           "GET\r\n\r\n",
		"no version":         "GET /\r\n\r\n",
		"two blanks":         "GET  / HTTP/1.1\r\n\r\n",
		"HTTP/2.0":           "GET / HTTP/2.0\r\n\r\n",
		"HTTP/1.2":           "GET / HTTP/1.2\r\n\r\n",
		"method":             "G(T / HTTP/1.1\r\n\r\n",
		"control in target":  "GET /\x01 HTTP/1.1\r\n\r\n",
		"head without end":   "GET / HTTP/1.1\r\nA: b\r\n",
		"no colon":           "GET / HTTP/1.1\r\nAb\r\n\r\n",
		"no name":            "GET / HTTP/1.1\r\n: b\r\n\r\n",
		"blank before colon": "GET / HTTP/1.1\r\nA : b\r\n\r\n",
		"folded":             "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
		"bare CR":            "GET / HTTP/1.1\r\nA: b\rc: d\r\n\r\n",
		"NUL":                "GET / HTTP/1.1\r\nA: 12345678901234\x00\r\n\r\n",
		"DEL":                "GET / HTTP/1.1\r\nA: 12345678901\x7f34\r\n\r\n",
		"negative length":    "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
		"signed length":      "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\na",
		"empty length":       "POST / HTTP/1.1\r\nContent-Length:\r\n\r\n",
		"huge length":        "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"two lengths":        "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
		"short body":         "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\na",
		"long body":          "POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nab",
		"coding":             "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"short chunk":        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
		"chunk size":         "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n",
		"chunk overflow":     "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc\r\n",
		"chunk end":          "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := ParseRequest([]byte(text))
			var syntax *SyntaxError
			var version *VersionError
			require.True(t, errors.As(err, &syntax) || errors.As(err, &version), "%v", err)
			require.NotEmpty(t, err.Error())
		})
	}
}

func TestConnection(t *testing.T) {
	for value, want := range map[string][2]bool{
		"":                      {},
		"Connection: close":     {false, true},
		"connection: CLOSE":     {false, true},
		"Connection: x,close":   {false, true},
		"Connection: Keep-Aliv": {},
		"Connection: close\r\nConnection: keep-Alive": {true, true},
	} {
		text := "GET / HTTP/1.1\r\n" + value + "\r\n\r\n"
		if value == "" {
			text = "GET / HTTP/1.1\r\n\r\n"
		}
		r, err := ParseRequest([]byte(text))
		require.NoError(t, err)
		keepAlive, closes := r.Connection()
		require.Equal(t, want, [2]bool{keepAlive, closes}, value)
	}
}

func TestPrimeTarget(t *testing.T) {
	for raw, want := range map[string]string{
		"%2Ffoo%3F%2Ffoo%3D":                     "/foo",
		"%2Ffoo%3F%2Ffoo":                        "/foo",
		"%2ffoo%3Fa%3D1":                         "/foo?a=1",
		"%2Fis_prime%3Fpossible_prime%3D3":       "/is_prime?possible_prime=3",
		"%2Fa%20b%3Fc%3D100%25%2Bd":              "/a%20b?c=100%25%2Bd",
		"%2F":                                    "/",
		"%2F%0D%0AX%3A":                          "/%0D%0AX:",
		"/foo?/foo=":                             "/foo?/foo=",
		"*":                                      "*",
		"http://host/%2Ffoo":                     "http://host/%2Ffoo",
		"%2Ffoo%3Fa%3D" + strings.Repeat("%", 3): "/foo?a=%25%25%25",
	} {
		r, err := ParseRequest([]byte("GET " + raw + " HTTP/1.1\r\n\r\n"))
		require.NoError(t, err)
		require.Equal(t, want, r.Target)
		require.Equal(t, "GET "+want+" HTTP/1.1\r\n\r\n", string(r.Frames()[0]))
	}
}

func TestPathAndQuery(t *testing.T) {
	r := &Request{Target: "/a%2Fb%20c?x=1%262&y=a+b%2b&x=3&flag&=empty&x"}
	require.Equal(t, "/a/b c", r.Path())
	require.Equal(t, []string{"1&2", "3", ""}, r.QueryValues("x"))
	for key, want := range map[string]string{"x": "1&2", "y": "a b+", "flag": "", "": "empty"} {
		v, ok := r.Query(key)
		require.True(t, ok, key)
		require.Equal(t, want, v)
	}
	_, ok := r.Query("z")
	require.False(t, ok)
	for target, want := range map[string]string{
		"": "/", "/": "/", "?a": "/", "*": "*", "/%zz%4": "/%zz%4",
		"http://h": "/", "http://h/p?q": "/p", "/a://b": "/a://b", "/a+b": "/a+b",
	} {
		require.Equal(t, want, (&Request{Target: target}).Path(), target)
	}
	_, ok = (&Request{Target: "/"}).Query("")
	require.False(t, ok)
}

func TestRequestFrames(t *testing.T) {
	text := "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab"
	r, err := ParseRequest([]byte(text))
	require.NoError(t, err)
	require.Equal(t, len(text), r.Size())
	require.Equal(t, text, string(r.Frames()[0]))

	r.Body = []byte("xyz")
	want := "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nxyz"
	require.Equal(t, want, string(r.Frames()[0]), "a changed request is written anew")
	require.Equal(t, len(want), r.Size())

	r.SetHeader(Header{{"A", "b"}, {"Connection", "close"}})
	r.Method, r.Target, r.Minor = "GET", "/q", 0
	r.Body = nil
	require.Equal(t, "GET /q HTTP/1.0\r\nA: b\r\n\r\n", string(r.Frames()[0]))
}

func TestRequestCannotSplit(t *testing.T) {
	r := NewRequest("G T", "/a b\r\nX: y", Header{{"A", "b\r\nc: d"}, {"B\r\n", "e"}, {"C", "f"}}, nil)
	var field *FieldError
	require.ErrorAs(t, r.Check(), &field)
	require.Equal(t, "GET /a%20b%0D%0AX:%20y HTTP/1.1\r\nC: f\r\n\r\n", string(r.Frames()[0]))
	require.Error(t, NewRequest("GET", "/ ", nil, nil).Check())
	require.Error(t, NewRequest("GET", "/", Header{{"A", "\n"}}, nil).Check())
	require.Error(t, (&Request{Minor: 2}).Check())
	require.NoError(t, (&Request{}).Check())
	require.Equal(t, "GET / HTTP/1.0\r\n\r\n", string((&Request{}).Frames()[0]))
}

func TestHeader(t *testing.T) {
	h := Header{{"A", "1"}, {"b", "2"}, {"a", "3"}, {"C", "4"}}
	require.Equal(t, "1", h.Get("a"))
	require.Equal(t, []string{"1", "3"}, h.Values("A"))
	require.True(t, h.Has("B"))
	require.False(t, h.Has("d"))
	h.Set("A", "5")
	require.Equal(t, Header{{"A", "5"}, {"b", "2"}, {"C", "4"}}, h)
	h.Set("D", "6")
	h.Del("B")
	require.Equal(t, Header{{"A", "5"}, {"C", "4"}, {"D", "6"}}, h)
	require.Empty(t, h.Get("b"))
}
