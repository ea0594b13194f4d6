package httpfront

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// counted waits until so many bytes are counted as being received, within the
// slack that buffers make.
func (r *rig) counted(least, most int64) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		n := r.receiving.bytes.Load()
		return least <= n && n <= most
	}, soon, time.Millisecond)
}

// Room for bodies is bounded when they are announced, and when they come without
// being announced; there is none for some, and the rest is served.
func TestReceivedBytesAreBounded(t *testing.T) {
	const size = 1 << 20
	part := strings.Repeat("x", size/2)
	for name, body := range map[string]struct{ begin, end string }{
		"announced":         {fmt.Sprintf("Content-Length: %d\r\n\r\n", size), part + part},
		"one chunk":         {fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n", size), part + part + "\r\n0\r\n\r\n"},
		"many small chunks": {"Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("400\r\n"+part[:1024]+"\r\n", size/1024), "0\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, Config{MaxBody: size, MaxReceiving: 5 * size / 2}, echo)
			upload := func() *client {
				c := r.dial()
				c.send("POST / HTTP/1.1\r\nHost: h\r\n" + body.begin)
				return c
			}
			first := upload()
			r.counted(size*9/10, size*11/10)
			second := upload()
			r.counted(2*size*9/10, 2*size*11/10)

			refused := upload()
			resp := refused.read("POST")
			require.Equal(t, 503, resp.StatusCode)
			require.Equal(t, "1", resp.Header.Get("Retry-After"))
			require.Contains(t, resp.body, "too many requests")
			require.True(t, resp.Close)
			require.NoError(t, refused.Close())
			small := r.dial()
			small.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n" + part[:20000])
			require.Equal(t, 200, small.read("POST").StatusCode)

			first.send(body.end)
			require.Len(t, first.read("POST").body, len("POST / ")+size)
			r.counted(size*9/10, size*11/10)
			first.send("POST / HTTP/1.1\r\nHost: h\r\n" + body.begin + body.end)
			require.Equal(t, 200, first.read("POST").StatusCode)
			require.NoError(t, second.Close())
			r.counted(0, 0)
		})
	}
}
