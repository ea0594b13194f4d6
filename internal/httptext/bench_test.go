package httptext

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

const browser = "GET /is_prime?possible_prime=3 HTTP/1.1\r\nHost: localhost:8002\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9\r\nAccept-Language: en-US,en;q=0.5\r\n" +
	"Accept-Encoding: gzip, deflate, br\r\nConnection: keep-alive\r\n\r\n"

func TestAllocs(t *testing.T) {
	h, _ := read(t, browser)
	r, _, err := FromFastHTTP(h, 0)
	require.NoError(t, err)
	text := r.Frames()[0]
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n17")
	for _, tt := range []struct {
		name string
		max  float64
		do   func()
	}{
		{"FromFastHTTP", 2, func() { _, _, _ = FromFastHTTP(h, 0) }},
		{"ParseRequest", 1, func() { _, _ = ParseRequest(text) }},
		{"Request.Frames", 0, func() { r.Frames() }},
		{"Query", 0, func() { r.Query("possible_prime") }},
		{"ParseResponse", 2, func() { _, _ = ParseResponse(answer) }},
	} {
		require.LessOrEqual(t, testing.AllocsPerRun(100, tt.do), tt.max, tt.name)
	}
}

func BenchmarkFromFastHTTP(b *testing.B) {
	h, _ := read(b, browser)
	b.ReportAllocs()
	for b.Loop() {
		_, _, _ = FromFastHTTP(h, 0)
	}
}

func BenchmarkParseRequest(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_, _ = ParseRequest([]byte(browser))
	}
}

func BenchmarkParseResponse(b *testing.B) {
	text := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n17")
	b.ReportAllocs()
	for b.Loop() {
		_, _ = ParseResponse(text)
	}
}

func BenchmarkWriteTo(b *testing.B) {
	r := NewText(200, "17")
	var to fasthttp.Response
	b.ReportAllocs()
	for b.Loop() {
		to.Reset()
		_ = r.WriteTo(&to, false)
	}
}
