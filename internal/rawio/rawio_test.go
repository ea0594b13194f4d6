package rawio_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/rawio"
)

// pair returns both ends of a connection, the first one wrapped.
func pair(t *testing.T, network, address string) (wrapped, peer net.Conn) {
	t.Helper()
	l, err := net.Listen(network, address)
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	peer, err = net.Dial(network, l.Addr().String())
	require.NoError(t, err)
	accepted, err := l.Accept()
	require.NoError(t, err)
	wrapped = rawio.Wrap(accepted)
	t.Cleanup(func() {
		_ = wrapped.Close()
		_ = peer.Close()
	})
	return wrapped, peer
}

func onEach(t *testing.T, test func(t *testing.T, wrapped, peer net.Conn)) {
	t.Run("tcp", func(t *testing.T) {
		w, p := pair(t, "tcp", "127.0.0.1:0")
		test(t, w, p)
	})
	t.Run("unix", func(t *testing.T) {
		w, p := pair(t, "unix", filepath.Join(t.TempDir(), "s"))
		test(t, w, p)
	})
}

func TestBytesArriveBothWays(t *testing.T) {
	onEach(t, func(t *testing.T, wrapped, peer net.Conn) {
		sent := bytes.Repeat([]byte("0123456789"), 1<<20) // more than any socket buffer
		go func() {
			_, _ = io.Copy(peer, peer) // echo
		}()
		go func() {
			n, err := wrapped.Write(sent)
			assert.NoError(t, err)
			assert.Equal(t, len(sent), n)
		}()
		got := make([]byte, len(sent))
		_, err := io.ReadFull(wrapped, got)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(sent, got))
	})
}

func TestEndsAndErrorsAreNets(t *testing.T) {
	onEach(t, func(t *testing.T, wrapped, peer net.Conn) {
		n, err := wrapped.Read(nil)
		assert.Zero(t, n)
		require.NoError(t, err)

		require.NoError(t, wrapped.SetReadDeadline(time.Unix(1, 0)))
		_, err = wrapped.Read(make([]byte, 1))
		var timeout net.Error
		require.ErrorAs(t, err, &timeout)
		assert.True(t, timeout.Timeout())
		assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, wrapped.SetReadDeadline(time.Time{}))

		require.NoError(t, peer.Close())
		_, err = wrapped.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		for err = error(nil); err == nil; {
			_, err = wrapped.Write([]byte("x"))
		}
		assert.True(t, errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET), "%v", err)
		require.NoError(t, wrapped.Close())
		_, err = wrapped.Read(make([]byte, 1))
		assert.ErrorIs(t, err, net.ErrClosed)
	})
}

func TestReadAndWriteAllocateNothing(t *testing.T) {
	onEach(t, func(t *testing.T, wrapped, peer net.Conn) {
		b := make([]byte, 100)
		assert.Zero(t, testing.AllocsPerRun(100, func() {
			_, _ = peer.Write(b)
			_, _ = wrapped.Read(b)
			_, _ = wrapped.Write(b)
			_, _ = peer.Read(b)
		}))
	})
}

func TestOtherConnectionsStayAsTheyAre(t *testing.T) {
	a, b := net.Pipe()
	defer func() { _ = b.Close() }()
	assert.Same(t, a, rawio.Wrap(a))
}
