package httpfront

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// asText answers with the request as it reached the stage.
func asText(r *rig, j *loopback.Job) error {
	r.reply(j, httptext.NewText(200, string(j.Payload.Frames()[0])))
	return nil
}

const claims = "Forwarded: for=192.0.2.1;proto=https;host=a.example\r\nX-Forwarded-For: 192.0.2.2\r\nX_Forwarded_Proto: https\r\n" +
	"x-forwarded-host: b.example\r\nX-Forwarded-Prefix: /c\r\nX-Real-Ip: 192.0.2.3\r\n"

// What workers are told of whom a request is made for is what the front knows.
func TestWorkersAreToldOneThing(t *testing.T) {
	here := prefixes("127.0.0.0/8")
	for name, tt := range map[string]struct {
		cfg  Config
		want string
	}{
		"nothing":        {Config{}, ""},
		"trust only":     {Config{TrustedProxies: here}, ""},
		"the peer":       {Config{Forwarded: ForwardedX}, "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: h:80\r\n"},
		"not this peer":  {Config{Forwarded: ForwardedX, TrustedProxies: prefixes("10.0.0.0/8")}, "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: h:80\r\n"},
		"by X-Forwarded": {Config{Forwarded: ForwardedX, TrustedProxies: here}, "X-Forwarded-For: 192.0.2.2\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: b.example\r\n"},
		"by Forwarded":   {Config{Forwarded: ForwardedRFC7239, TrustedProxies: here}, "Forwarded: for=192.0.2.1;proto=https;host=\"a.example\"\r\n"},
	} {
		r := start(t, tt.cfg, asText)
		c := r.dial()
		for range 2 {
			c.send("GET / HTTP/1.1\r\nHost: h:80\r\n" + claims + "X: y\r\n\r\n")
			require.Equal(t, "GET / HTTP/1.1\r\nHost: h:80\r\nX: y\r\n"+tt.want+"\r\n", c.read("GET").body, name)
		}
	}
}

func TestWorkersAreToldOfTLS(t *testing.T) {
	cfg, a := secured(t, Config{Forwarded: ForwardedX})
	r := start(t, cfg, asText)
	c := r.dialTLS(a.trusting())
	c.send("GET http://example.com/ HTTP/1.1\r\nHost: other\r\n\r\n")
	require.Contains(t, c.read("GET").body, "\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: example.com\r\n")
	c.send("GET / HTTP/1.0\r\n\r\n")
	require.NotContains(t, c.read("GET").body, "X-Forwarded-Host")
}

// Turns go to clients, not to the proxy before them, and the access log shows
// them.
func TestClientsBehindAProxy(t *testing.T) {
	var log safeBuffer
	var hashes []uint32
	r := start(t, Config{Forwarded: ForwardedX, TrustedProxies: prefixes("127.0.0.1/32"), AccessLog: &log}, func(r *rig, j *loopback.Job) error {
		hashes = append(hashes, j.Info.Client)
		return echo(r, j)
	})
	c := r.dial()
	for _, from := range []string{"", "192.0.2.1", "192.0.2.2", "1.1.1.1, 192.0.2.1", "2001:db8::1", "2001:db8::ffff", "2001:db8:0:1::1"} {
		c.send("GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: " + from + "\r\n\r\n")
		c.read("GET")
	}
	require.Equal(t, hashes[1], hashes[3])
	require.Equal(t, hashes[4], hashes[5])
	distinct := map[uint32]bool{}
	for _, h := range hashes {
		distinct[h] = true
	}
	require.Len(t, distinct, 5)
	require.NoError(t, r.Shutdown(t.Context()))
	var hosts []string
	for _, line := range strings.Split(strings.TrimSpace(log.String()), "\n") {
		host, _, _ := strings.Cut(line, " ")
		hosts = append(hosts, host)
	}
	require.Equal(t, []string{"127.0.0.1", "192.0.2.1", "192.0.2.2", "192.0.2.1", "2001:db8::1", "2001:db8::ffff", "2001:db8:0:1::1"}, hosts)
}

// safeBuffer is a writer that may be read meanwhile.
type safeBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// A proxy that is trusted has as many connections as it likes.
func TestConnectionsOfATrustedProxyAreNotCounted(t *testing.T) {
	for trusted, second := range map[string]int{"127.0.0.1/32": 200, "10.0.0.0/8": 429} {
		r := start(t, Config{MaxConnsPerClient: 1, TrustedProxies: prefixes(trusted)}, echo)
		first := r.dial()
		first.send(get("/"))
		first.read("GET")
		c := r.dial()
		c.send(get("/"))
		require.Equal(t, second, c.read("GET").StatusCode, trusted)
	}
}

// An id that may be given is everywhere, and one that may not is nowhere.
func TestRequestIDsTakenOver(t *testing.T) {
	for name, tt := range map[string]struct {
		cfg   Config
		given string
		taken bool
	}{
		"trusted":     {Config{TrustedProxies: prefixes("127.0.0.1/32")}, "abc-123", true},
		"everybody":   {Config{RequestIDFromAll: true}, "abc-123", true},
		"longest":     {Config{RequestIDFromAll: true}, strings.Repeat("x", wire.MaxRequestID), true},
		"not trusted": {Config{TrustedProxies: prefixes("10.0.0.0/8")}, "abc-123", false},
		"too long":    {Config{RequestIDFromAll: true}, strings.Repeat("x", wire.MaxRequestID+1), false},
		"a blank":     {Config{RequestIDFromAll: true}, "a b", false},
		"a quote":     {Config{RequestIDFromAll: true}, `a"b`, false},
		"not ASCII":   {Config{RequestIDFromAll: true}, "a\xffb", false},
		"empty":       {Config{RequestIDFromAll: true}, "", false},
		"two":         {Config{RequestIDFromAll: true}, "abc\r\nX-Trace: def", false},
	} {
		t.Run(name, func(t *testing.T) {
			var log safeBuffer
			var seen []string
			cfg := tt.cfg
			cfg.RequestIDHeader, cfg.AccessLog = "X-Trace", &log
			r := start(t, cfg, func(r *rig, j *loopback.Job) error {
				seen = append(seen, j.Info.RequestID())
				return asText(r, j)
			})
			c := r.dial()
			c.send("GET / HTTP/1.1\r\nHost: h\r\nX-Trace: " + tt.given + "\r\nx_trace: other\r\n\r\n")
			answer := c.read("GET")
			id := answer.Header.Get("X-Trace")
			require.Equal(t, tt.taken, id == tt.given)
			require.True(t, isRequestID([]byte(id)), id)
			require.Equal(t, []string{id}, seen)
			require.Equal(t, "GET / HTTP/1.1\r\nHost: h\r\nX-Trace: "+id+"\r\n\r\n", answer.body)

			c.send("BREW / HTTP/1.1\r\nHost: h\r\nX-Trace: " + tt.given + "\r\nAccept: application/json\r\n\r\n")
			answer = c.read("BREW")
			require.Equal(t, 501, answer.StatusCode)
			var problem struct {
				ID string `json:"request_id"`
			}
			require.NoError(t, json.Unmarshal([]byte(answer.body), &problem))
			other := answer.Header.Values("X-Trace")
			require.Equal(t, []string{problem.ID}, other)
			require.Equal(t, tt.taken, problem.ID == tt.given)
			if !tt.taken {
				require.NotEqual(t, id, problem.ID)
			}
			require.NoError(t, r.Shutdown(t.Context()))
			lines := strings.Split(strings.TrimSpace(log.String()), "\n")
			require.True(t, strings.HasSuffix(lines[0], " "+id))
			require.True(t, strings.HasSuffix(lines[1], " "+problem.ID))
		})
	}
}

// A handler's own field of the id's name does not reach the client, nor does the
// front change what the handler has answered with.
func TestOneRequestIDInAnswers(t *testing.T) {
	same := httptext.NewText(200, "same")
	same.Header.Add("X-Request-Id", "handler's")
	r := start(t, Config{RequestIDHeader: "X-Request-ID", RequestIDFromAll: true}, func(r *rig, j *loopback.Job) error {
		r.reply(j, same)
		return nil
	})
	c := r.dial()
	for _, id := range []string{"1", "2"} {
		c.send("GET / HTTP/1.1\r\nHost: h\r\nX-Request-Id: " + id + "\r\n\r\n")
		require.Equal(t, []string{id}, c.read("GET").Header.Values("X-Request-Id"))
	}
	require.Equal(t, "handler's", same.Header.Get("X-Request-Id"))
	require.Len(t, same.Header, 2)
}

func TestRequestIDOfStreams(t *testing.T) {
	for _, version := range []string{"1.0", "1.1"} {
		r := start(t, Config{RequestIDHeader: "X-Request-Id", RequestIDFromAll: true}, func(r *rig, j *loopback.Job) error {
			r.part(j, 0, wire.Stream|wire.StreamEnd, &httptext.Opening{Response: httptext.NewText(200, "all")})
			return nil
		})
		c := r.dial()
		c.send("GET / HTTP/" + version + "\r\nHost: h\r\nX-Request-Id: a\r\n\r\n")
		answer := c.read("GET")
		require.Equal(t, "all", answer.body)
		require.Equal(t, "a", answer.Header.Get("X-Request-Id"))
	}
}

func TestBadEdgeIsRefused(t *testing.T) {
	table, err := loopback.NewTable(loopback.TableConfig{})
	require.NoError(t, err)
	for _, cfg := range []Config{
		{Forwarded: 3}, {RequestIDFromAll: true}, {RequestIDHeader: "a b"}, {RequestIDHeader: "Host"},
		{RequestIDHeader: "Connection"}, {RequestIDHeader: "X-Forwarded-For"}, {RequestIDHeader: "content_length"},
	} {
		cfg.Listen, cfg.Table, cfg.Stage = "127.0.0.1:0", table, stage(nil)
		_, err := New(cfg)
		assert.Error(t, err, "%+v", cfg)
	}
}

// Who asks for nothing of this pays nothing for it.
func TestAnEdgeThatIsNotThereAllocatesNothing(t *testing.T) {
	s := newStand(t, Config{})
	x := exchange{front: s.Front, conn: &conn{front: s.Front, peer: netip.MustParseAddr("192.0.2.1")}}
	info, r := &wire.Info{}, httptext.NewText(200, "x")
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		_ = x.edge()
		x.tell(info)
		require.Same(t, r, x.dress(r))
	}))
}
