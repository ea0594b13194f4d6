package httpfront

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// counted waits until so many bytes are counted as being received.
func (r *rig) counted(n int64) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.receiving.bytes.Load() == n }, soon, time.Millisecond)
}

// Room for bodies is bounded as they come; there is none for some, and the rest
// is served.
func TestReceivedBytesAreBounded(t *testing.T) {
	const size = 1 << 20
	part := strings.Repeat("x", size/2)
	for name, body := range map[string]struct{ begin, end string }{
		"announced":         {fmt.Sprintf("Content-Length: %d\r\n\r\n%sx", size, part), part[1:]},
		"one chunk":         {fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%sx", size, part), part[1:] + "\r\n0\r\n\r\n"},
		"many small chunks": {"Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("400\r\n"+part[:1024]+"\r\n", size/1024), "0\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			const held = size - uncounted
			r := start(t, Config{MaxBody: size, MaxReceiving: 5 * size / 2}, echo)
			upload := func() *client {
				c := r.dial()
				c.send("POST / HTTP/1.1\r\nHost: h\r\n" + body.begin)
				return c
			}
			first := upload()
			r.counted(held)
			second := upload()
			r.counted(2 * held)

			refused := upload()
			resp := refused.read("POST")
			require.Equal(t, 503, resp.StatusCode)
			require.Contains(t, []string{"1", "2"}, resp.Header.Get("Retry-After"))
			require.Contains(t, resp.body, "too many requests")
			require.True(t, resp.Close)
			require.NoError(t, refused.Close())
			r.counted(2 * held)
			small := r.dial()
			small.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n" + part[:20000])
			require.Equal(t, 200, small.read("POST").StatusCode)

			first.send(body.end)
			require.Len(t, first.read("POST").body, len("POST / ")+size)
			r.counted(held)
			first.send("POST / HTTP/1.1\r\nHost: h\r\n" + body.begin + body.end)
			require.Equal(t, 200, first.read("POST").StatusCode)
			require.NoError(t, second.Close())
			r.counted(0)
		})
	}
}

// What is announced takes no room before it comes.
func TestAnnouncedBodiesTakeNoRoom(t *testing.T) {
	r := start(t, Config{MaxReceiving: 1}, echo)
	body := strings.Repeat("x", uncounted/2)
	for _, head := range []string{
		"Content-Length: 10000000\r\n\r\n" + body,
		"Transfer-Encoding: chunked\r\n\r\n800000\r\n" + body,
	} {
		c := r.dial()
		c.send("POST / HTTP/1.1\r\nHost: h\r\n" + head)
		c.send(body + "x")
		require.Equal(t, 503, c.read("POST").StatusCode)
	}
	c := r.dial()
	c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 32768\r\n\r\n" + body)
	c.send(body)
	require.Equal(t, 200, c.read("POST").StatusCode)
}
