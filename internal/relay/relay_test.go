//go:build linux

package relay

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

const soon = 5 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// link is a connection through a relay, both of its ends.
type link struct{ client, server net.Conn }

func relayed(t *testing.T) (*Relay, func() link) {
	t.Helper()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r, err := New("127.0.0.1:0", server.Addr().String())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		_ = server.Close()
	})
	return r, func() link {
		c, err := net.Dial("tcp", r.Addr())
		require.NoError(t, err)
		s, err := server.Accept()
		require.NoError(t, err)
		t.Cleanup(func() { _, _ = c.Close(), s.Close() })
		return link{c, s}
	}
}

func says(t *testing.T, from, to net.Conn, text string) {
	t.Helper()
	_, err := io.WriteString(from, text+"\n")
	require.NoError(t, err)
	_ = to.SetReadDeadline(time.Now().Add(soon))
	got, err := bufio.NewReader(to).ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, text+"\n", got)
}

// silent reports whether nothing comes within a while.
func silent(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	_, err := c.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

func TestARelayPassesBytesAndEnds(t *testing.T) {
	_, connect := relayed(t)
	l := connect()
	says(t, l.client, l.server, "hello")
	says(t, l.server, l.client, "hello yourself")
	require.NoError(t, l.client.(*net.TCPConn).CloseWrite())
	_, err := l.server.Read(make([]byte, 1))
	assert.ErrorIs(t, err, io.EOF)
	says(t, l.server, l.client, "it is half closed")
}

func TestAStalledRelayKeepsWhatIsSent(t *testing.T) {
	for fault, open := range map[Fault][2]bool{Stall: {false, false}, StallUp: {false, true}, StallDown: {true, false}} {
		r, connect := relayed(t)
		l := connect()
		says(t, l.client, l.server, "before")
		r.Set(fault)
		for i, way := range [][2]net.Conn{{l.client, l.server}, {l.server, l.client}} {
			if open[i] {
				says(t, way[0], way[1], "open")
				continue
			}
			_, err := io.WriteString(way[0], "kept\n")
			require.NoError(t, err)
			assert.True(t, silent(way[1]))
		}
		require.NoError(t, l.client.(*net.TCPConn).CloseWrite())
		if !open[0] {
			assert.True(t, silent(l.server), "not even an end passes")
		}
		r.Set(Heal)
		require.NoError(t, l.server.(*net.TCPConn).CloseWrite())
		for i, to := range []net.Conn{l.server, l.client} {
			_ = to.SetReadDeadline(time.Now().Add(soon))
			text, err := io.ReadAll(to)
			require.NoError(t, err)
			assert.Equal(t, map[bool]string{false: "kept\n"}[open[i]], string(text))
		}
	}
}

func TestARelayResets(t *testing.T) {
	r, connect := relayed(t)
	l := connect()
	says(t, l.client, l.server, "before")
	assert.Equal(t, 1, r.Connections())
	r.Reset()
	for _, c := range []net.Conn{l.client, l.server} {
		_ = c.SetReadDeadline(time.Now().Add(soon))
		_, err := c.Read(make([]byte, 1))
		assert.ErrorIs(t, err, syscall.ECONNRESET)
	}
	l = connect()
	says(t, l.client, l.server, "behind")
}

func TestARelayRefuses(t *testing.T) {
	r, connect := relayed(t)
	l := connect()
	says(t, l.client, l.server, "before")
	r.Set(Refuse)
	for _, c := range []net.Conn{l.client, l.server} {
		_ = c.SetReadDeadline(time.Now().Add(soon))
		_, err := c.Read(make([]byte, 1))
		assert.ErrorIs(t, err, syscall.ECONNRESET)
	}
	c, err := net.Dial("tcp", r.Addr())
	if err == nil { // the reset may come while it connects
		defer c.Close()
		_ = c.SetReadDeadline(time.Now().Add(soon))
		_, err = c.Read(make([]byte, 1))
	}
	assert.ErrorIs(t, err, syscall.ECONNRESET)
}
