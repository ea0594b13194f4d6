package transport

import (
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// header is a frame's header with an eight-byte length.
func header(flags byte, length uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{flags | flagLong}, length)
}

// greeting is a ZMTP 3.0 greeting for the mechanism NULL.
func greeting() []byte {
	g := make([]byte, greetingSize)
	g[0], g[9], g[10] = 0xff, 0x7f, 3
	copy(g[12:], "NULL")
	return g
}

// command is a short command frame.
func command(name string, data []byte) []byte {
	f := []byte{flagCommand, byte(1 + len(name) + len(data)), byte(len(name))}
	return append(append(f, name...), data...)
}

// closed waits until the other side has closed conn.
func closed(t *testing.T, conn net.Conn) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, conn)
		close(done)
	}()
	await(t, done)
}

func TestLimitsHoldBeforeAllocation(t *testing.T) {
	limits := Limits{MaxFrame: 1 << 20, MaxMessage: 3 << 20, MaxFrames: 10}
	for name, c := range map[string]struct {
		sent []byte
		what string
	}{
		"2^63":               {header(0, 1<<63), "frame bytes"},
		"2^50":               {header(0, 1<<50), "frame bytes"},
		"just too long":      {header(0, 1<<20+1), "frame bytes"},
		"frames of 1 MiB":    {nil, "message bytes"},
		"empty frames":       {repeated(flagMore, 0, 100), "message frames"},
		"a command of 2^40":  {header(flagCommand, 1<<40), "command bytes"},
		"a command too long": {header(flagCommand, maxCommand+1), "command bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, r *rig) {
				h := record(t)
				r.listen(Options{Socket: Router, Limits: limits}, h)
				conn := r.shaken(Dealer)
				await(t, h.up)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				go endless(conn, c.sent)
				end := await(t, h.down)
				runtime.ReadMemStats(&after)
				var limit *LimitError
				require.ErrorAs(t, end.err, &limit)
				assert.Equal(t, c.what, limit.What)
				most := 2*uint64(limits.MaxMessage) + 4<<20 // what came is copied once, if it is large
				assert.Less(t, after.TotalAlloc-before.TotalAlloc, most)
				closed(t, conn)
			})
		})
	}
}

// What a peer only announces takes no memory, within the limits, too.
func TestAnnouncedFramesTakeNoMemory(t *testing.T) {
	const announced = 32 << 20
	inBubble(t, func(t *testing.T, r *rig) {
		h := record(t)
		r.listen(Options{Socket: Router, Heartbeat: -1}, h)
		conn := r.shaken(Dealer)
		await(t, h.up)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begun := append(header(0, announced), make([]byte, 1<<20)...)
		_, err := conn.Write(begun)
		require.NoError(t, err)
		synctest.Wait()
		runtime.ReadMemStats(&after)
		assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(announced/4))

		_, err = conn.Write(make([]byte, announced-1<<20))
		require.NoError(t, err)
		assert.Len(t, h.message()[0], announced, "and it may still come")
	})
}

// repeated repeats a short frame header.
func repeated(flags, length byte, n int) []byte {
	var b []byte
	for range n {
		b = append(b, flags, length)
	}
	return b
}

// endless writes b, or frames of one MiB that never end a message, until the
// connection is closed.
func endless(conn net.Conn, b []byte) {
	if b != nil {
		_, _ = conn.Write(b)
		return
	}
	for frame := append(header(flagMore, 1<<20), make([]byte, 1<<20)...); ; {
		if _, err := conn.Write(frame); err != nil {
			return
		}
	}
}

func TestBrokenTrafficEndsThePeerOnly(t *testing.T) {
	for name, sent := range map[string][]byte{
		"reserved bits":         {0x80, 1, 0},
		"a command with MORE":   {flagCommand | flagMore, 1, 0},
		"an empty command":      {flagCommand, 0},
		"a command's long name": {flagCommand, 2, 200, 0},
		"a PING without TTL":    command("PING", []byte{1}),
		"an ERROR":              command("ERROR", []byte("\x04oops")),
		"an ERROR cut off":      command("ERROR", []byte("\xffoops")),
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, r *rig) {
				h := record(t)
				r.listen(Options{Socket: Router}, h)
				conn := r.shaken(Dealer)
				await(t, h.up)
				_, err := conn.Write(append([]byte{0, 2, 'h', 'i'}, sent...))
				require.NoError(t, err)
				assert.Equal(t, msg("hi"), h.message(), "what came before is delivered")
				require.ErrorAs(t, await(t, h.down).err, new(*ProtocolError))
				closed(t, conn)
			})
		})
	}
}

func TestBrokenHandshakesAreRefused(t *testing.T) {
	ready := func(data string) []byte { return append(greeting(), command("READY", []byte(data))...) }
	wrong := greeting()
	copy(wrong[12:], "PLAIN")
	old := greeting()
	old[10] = 2
	cases := map[string][]byte{
		"HTTP":                 []byte("GET / HTTP/1.1\r\n\r\n"),
		"another mechanism":    wrong,
		"ZMTP 2":               old,
		"a greeting's end":     append(greeting()[:9], make([]byte, 55)...),
		"not READY":            append(greeting(), command("HELLO", nil)...),
		"an ERROR":             append(greeting(), command("ERROR", []byte("\x02no"))...),
		"a message":            append(greeting(), 0, 1, 'x'),
		"2^63 bytes of READY":  append(greeting(), header(flagCommand, 1<<63)...),
		"an empty READY":       ready(""),
		"an empty name":        ready("\x00\x00\x00\x00\x00"),
		"a name cut off":       ready("\xc8Socket-Type"),
		"a value cut off":      ready("\x0bSocket-Type\x00\x00\x00\xff"),
		"a value of 2^32-1":    ready("\x0bSocket-Type\xff\xff\xff\xffDEALER"),
		"no length":            ready("\x0bSocket-Type"),
		"an unknown type":      ready("\x0bSocket-Type\x00\x00\x00\x05QUEUE"),
		"an incompatible type": ready("\x0bSocket-Type\x00\x00\x00\x04PUSH"),
		"a short instance":     ready("\x0bSocket-Type\x00\x00\x00\x06DEALER\x0bX-Butterfly\x00\x00\x00\x01x"),
	}
	onEach(t, func(t *testing.T, r *rig) {
		h := record(t)
		r.listen(Options{Socket: Router}, h)
		for name, sent := range cases {
			conn := r.raw()
			_, err := conn.Write(sent)
			require.NoError(t, err)
			closed(t, conn)
			assert.Empty(t, h.up, name)
		}
		eventually(t, func() bool { return r.logs.has("connection refused", "endpoint=", "peer=", "err=") }, "it is logged")
		r.dial(Options{Socket: Dealer}, nil)
		await(t, h.up)
	})
}

func TestWrongSocketTypesNeverMeet(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		l, h := record(t), record(t)
		r.listen(Options{Socket: Router}, l)
		r.dial(Options{Socket: Push}, h)
		eventually(t, func() bool { return r.logs.has("connection failed", "the peer is a", "ROUTER") }, "the dialer says why")
		eventually(t, func() bool { return r.logs.has("connection refused", "the peer is a", "PUSH") }, "and the listener too")
		assert.Empty(t, l.up)
		assert.Empty(t, h.up)
	})
}

// A health check that connects and leaves is not worth a line, however often it
// comes; half a greeting is.
func TestPortChecksAreNotLogged(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		h := record(t)
		r.listen(Options{Socket: Router}, h)
		for range 10 {
			require.NoError(t, r.raw().Close())
		}
		conn := r.raw()
		_, err := io.ReadFull(conn, make([]byte, greetingSize))
		require.NoError(t, err)
		_, err = conn.Write(greeting()[:10])
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		eventually(t, func() bool { return r.logs.has("connection refused", "unexpected EOF", "skipped=0") }, "half a greeting is logged, and the first line")
		r.dial(Options{Socket: Dealer}, nil)
		await(t, h.up)
	})
}

// Silent connections make room for one another; peers that speak get through.
func TestHandshakeFlood(t *testing.T) {
	const room, flood = 4, 20
	onEach(t, func(t *testing.T, r *rig) {
		h := record(t)
		r.listen(Options{Socket: Router, MaxHandshakes: room}, h)
		conns := make([]net.Conn, flood)
		for i := range conns {
			conns[i] = r.raw()
			if i >= room {
				closed(t, conns[i-room])
			}
		}
		r.dial(Options{Socket: Dealer}, nil)
		await(t, h.up)
	})
}

func TestMaxPeers(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		l := record(t)
		r.listen(Options{Socket: Router, MaxPeers: 1}, l)
		_, first := r.dial(Options{Socket: Dealer}, nil)
		await(t, l.up)
		h := record(t)
		r.dial(Options{Socket: Dealer}, h)
		eventually(t, func() bool { return r.logs.has("connection refused", "peers: 2 announced") }, "the second is refused")
		assert.Empty(t, h.up, "and does not take itself for connected")
		first.stop(t)
		await(t, l.up)
		await(t, h.up)
	})
}
