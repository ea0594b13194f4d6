package httpload

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// readers deliver the same text in different portions.
var readers = map[string]func(io.Reader) io.Reader{
	"at once":      func(r io.Reader) io.Reader { return r },
	"by bytes":     iotest.OneByteReader,
	"by halves":    iotest.HalfReader,
	"end with eof": iotest.DataErrReader,
}

func TestGoodAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		text   string
		toHead bool
		expect string // "" is not compared, "-" expects an empty body
		status int
		closes bool
	}{
		"length":             {text: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", expect: "abc", status: 200},
		"odd case":           {text: "HTTP/1.1 404 No\r\ncONTENT-lENGTH:3\r\n\r\nabc", expect: "abc", status: 404},
		"no reason":          {text: "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", expect: "-", status: 200},
		"no body":            {text: "HTTP/1.1 204 No Content\r\n\r\n", expect: "-", status: 204},
		"not modified":       {text: "HTTP/1.1 304 \r\nContent-Length: 10\r\n\r\n", status: 304},
		"to HEAD":            {text: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", toHead: true, expect: "x", status: 200},
		"long":               {text: "HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + strings.Repeat("b", 9000), expect: strings.Repeat("b", 9000), status: 200},
		"long header":        {text: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 9000) + "\r\nContent-Length: 1\r\n\r\nz", expect: "z", status: 200},
		"continue first":     {text: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nz", expect: "z", status: 200},
		"chunks":             {text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n", expect: "ab0123456789", status: 200},
		"chunks and trailer": {text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\na\r\n0\r\nA: b\r\n\r\n", expect: "a", status: 200},
		"to the end":         {text: "HTTP/1.1 200 OK\r\n\r\nabcdef", expect: "abcdef", status: 200, closes: true},
		"close":              {text: "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 1\r\n\r\na", status: 200, closes: true},
		"old":                {text: "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", status: 200, closes: true},
		"old, kept":          {text: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na", status: 200},
	} {
		for portions, reader := range readers {
			t.Run(name+"/"+portions, func(t *testing.T) {
				var expect []byte
				if c.expect != "" {
					expect = []byte(strings.TrimSuffix(c.expect, "-"))
				}
				got, err := newAnswers(reader(strings.NewReader(c.text)), expect).next(c.toHead)
				require.NoError(t, err)
				assert.Equal(t, c.status, got.status)
				assert.Equal(t, c.closes, got.closes)
			})
		}
	}
}

func TestMalformedAnswers(t *testing.T) {
	for name, c := range map[string]struct{ text, what string }{
		"another protocol": {"SSH-2.0-OpenSSH\r\n\r\n", "no HTTP/1.x status line"},
		"version 2":        {"HTTP/2.0 200 OK\r\n\r\n", "no HTTP/1.x status line"},
		"status 999":       {"HTTP/1.1 999 X\r\n\r\n", "no status from 100 to 599"},
		"status text":      {"HTTP/1.1 abc X\r\n\r\n", "no status from 100 to 599"},
		"negative length":  {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "bad Content-Length"},
		"gzip":             {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "a Transfer-Encoding other than chunked"},
		"too much":         {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc", "bytes behind the answer"},
		"endless header":   {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 1<<16), "a header or line without end"},
		"chunk size":       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "bad chunk size"},
		"negative chunk":   {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", "bad chunk size"},
		"chunk too long":   {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", "no line end behind a chunk"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newAnswers(strings.NewReader(c.text), nil).next(false)
			var bad *MalformedError
			require.ErrorAs(t, err, &bad)
			assert.Equal(t, c.what, bad.What)
			assert.Equal(t, Malformed, kindOf(err))
		})
	}
}

func TestAnAnswerCutShortIsClosed(t *testing.T) {
	const text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
	for n := range len(text) {
		_, err := newAnswers(strings.NewReader(text[:n]), nil).next(false)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, "after %d bytes", n)
		require.Equal(t, Closed, kindOf(err))
	}
}

func TestAnUnexpectedBodyIsToldAndHarmless(t *testing.T) {
	for _, body := range []string{"ab", "abd", "abcd", ""} {
		text := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		for _, b := range body {
			text += "1\r\n" + string(b) + "\r\n"
		}
		a := newAnswers(strings.NewReader(text+"0\r\n\r\n"), []byte("abc"))
		got, err := a.next(false)
		require.ErrorIs(t, err, errBody, "body %q", body)
		assert.False(t, got.closes)
	}
}

func TestReadErrorsComeThrough(t *testing.T) {
	_, err := newAnswers(iotest.ErrReader(iotest.ErrTimeout), nil).next(false)
	assert.ErrorIs(t, err, iotest.ErrTimeout)
	assert.False(t, errors.Is(err, io.ErrUnexpectedEOF))
}

func TestReadingAnAnswerAllocatesNothing(t *testing.T) {
	text := "HTTP/1.1 200 OK\r\nServer: fasthttp\r\nDate: Sun, 22 Nov 2026 18:38:12 GMT\r\n" +
		"Content-Type: text/plain;charset=utf-8\r\nContent-Length: 1\r\n\r\n3"
	source := strings.NewReader(text)
	a := newAnswers(source, []byte("3"))
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		source.Reset(text)
		if _, err := a.next(false); err != nil {
			t.Error(err)
		}
	}))
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nz"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		a := newAnswers(strings.NewReader(string(text)), []byte("z"))
		if h, err := a.next(false); err == nil && (h.status < 100 || h.status > 599) {
			t.Errorf("status %d", h.status)
		}
		if len(a.buf) > 2*headLimit {
			t.Errorf("the buffer grew to %d bytes", len(a.buf))
		}
	})
}
