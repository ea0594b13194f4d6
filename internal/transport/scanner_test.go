package transport

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestScannerAsksForWholeHeaders(t *testing.T) {
	s := scanner{limits: Limits{}.WithDefaults(), traffic: true}
	long := header(0, 300)
	for n := range long {
		f, more, err := s.scan(long[:n])
		require.NoError(t, err)
		require.True(t, more, "%d bytes are not enough", n)
		require.Greater(t, f.header, n)
	}
	f, more, err := s.scan(long)
	require.NoError(t, err)
	require.False(t, more)
	assert.Equal(t, frame{header: longHeader, body: 300}, f)
}

func TestScannerCountsMessages(t *testing.T) {
	s := scanner{limits: Limits{MaxFrame: 100, MaxMessage: 150, MaxFrames: 3}, traffic: true}
	scan := func(flags, length byte) error {
		_, _, err := s.scan([]byte{flags, length})
		return err
	}
	for range 3 { // the account starts anew with each message
		require.NoError(t, scan(flagMore, 100))
		require.NoError(t, scan(flagCommand, 90), "a command between frames does not count")
		require.NoError(t, scan(flagMore, 50))
		require.True(t, s.within())
		require.NoError(t, scan(0, 0))
		require.False(t, s.within())
	}
	require.NoError(t, scan(flagMore, 100))
	require.ErrorAs(t, scan(0, 51), new(*LimitError))
}

// fuzzed is a connection whose peer sends what the fuzzer made.
type fuzzed struct {
	net.Conn
	io.Reader
	chunk int
}

func (f *fuzzed) Read(p []byte) (int, error)  { return f.Reader.Read(p[:min(len(p), f.chunk)]) }
func (f *fuzzed) Write(p []byte) (int, error) { return len(p), nil }

// FuzzTraffic lets zmq4 read what passes the scanner: nothing may panic, no
// message may exceed the limits, and how the bytes are cut must not matter.
func FuzzTraffic(f *testing.F) {
	f.Add([]byte{0, 1, 'x'}, uint8(1))
	f.Add([]byte{flagMore, 1, 'x', 0, 0}, uint8(2))
	f.Add(append(command("PING", []byte("\x00\x0acontext")), 0, 1, 'x'), uint8(3))
	f.Add(append([]byte{flagMore, 0}, append(command("PONG", nil), 0, 0)...), uint8(4))
	f.Add(header(0, 1<<63), uint8(5))
	f.Add(append(header(0, 300), make([]byte, 300)...), uint8(6))
	f.Add(append(header(flagCommand, 8), "\x05ERROR\x01x"...), uint8(7))
	f.Fuzz(func(t *testing.T, data []byte, chunk uint8) {
		whole, err := readAll(t, data, len(data)+1)
		pieces, again := readAll(t, data, int(chunk)+1)
		require.Equal(t, whole, pieces)
		require.Equal(t, err.Error(), again.Error())
	})
}

// readAll is what a reader gets of data, cut in pieces of chunk bytes.
func readAll(t *testing.T, data []byte, chunk int) ([]Message, error) {
	limits := Limits{MaxFrame: 1000, MaxMessage: 2000, MaxFrames: 5}
	ready := ready{socket: "DEALER"}.append(nil)
	begin := append(greeting(), command("READY", ready)...)
	o := Options{Socket: Router, Limits: limits}.withDefaults()
	nc := &fuzzed{Conn: idleConn{}, Reader: io.MultiReader(bytes.NewReader(begin), bytes.NewReader(data)), chunk: chunk}
	l, err := shake(nc, &o)
	require.NoError(t, err)
	l.conn.startTraffic(func(p pong) { require.LessOrEqual(t, p.length, maxContext) })
	var ms []Message
	for {
		m, err := l.zmtp.RecvMsg()
		if err != nil {
			return ms, l.conn.cause(err)
		}
		require.LessOrEqual(t, len(m.Frames), limits.MaxFrames)
		require.LessOrEqual(t, Message(m.Frames).size(), limits.MaxMessage+int64(len(m.Frames))*frameOverhead)
		ms = append(ms, m.Frames)
	}
}

// FuzzHandshake throws bytes at greeting and handshake.
func FuzzHandshake(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	f.Add(greeting())
	f.Add(append(greeting(), command("READY", ready{socket: "DEALER", instance: 7}.append(nil))...))
	f.Add(append(greeting(), command("ERROR", []byte("\x03bad"))...))
	f.Add(append(greeting(), header(flagCommand, 1<<62)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		o := Options{Socket: Router}.withDefaults()
		l, err := shake(&fuzzed{Conn: idleConn{}, Reader: bytes.NewReader(data), chunk: 1 << 20}, &o)
		if err == nil && !Router.accepts(l.peer.socket) {
			t.Errorf("a %q became a peer", l.peer.socket)
		}
	})
}

// FuzzReady checks that what is parsed is what was there.
func FuzzReady(f *testing.F) {
	f.Add(ready{socket: "DEALER"}.append(nil))
	f.Add(ready{socket: "SUB", instance: 1 << 63}.append(nil))
	f.Add([]byte("\x0bsocket-type\x00\x00\x00\x03PUB\x01x\x00\x00\x00\x00"))
	f.Add([]byte("\x0bSocket-Type\xff\xff\xff\xff"))
	f.Add([]byte("\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseReady(data)
		if err != nil {
			if _, ok := errors.AsType[*ProtocolError](err); !ok {
				t.Errorf("%T", err)
			}
			return
		}
		again, err := parseReady(r.append(nil))
		require.NoError(t, err)
		require.Equal(t, r, again)
	})
}

// idleConn takes everything that a connection without network needs.
type idleConn struct{ net.Conn }

func (idleConn) Close() error                { return nil }
func (idleConn) SetDeadline(time.Time) error { return nil }
