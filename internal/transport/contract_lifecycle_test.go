package transport

import (
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPeersComeAndGo(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		l, h := record(t), record(t)
		_, listener := r.listen(Options{Socket: Router}, l)
		_, dialer := r.dial(Options{Socket: Dealer}, h)
		p := await(t, l.up)
		await(t, h.up)
		dialer.stop(t)
		require.ErrorIs(t, await(t, h.down).err, ErrClosed)
		assert.Equal(t, ended{p, io.EOF}, await(t, l.down))

		r.dial(Options{Socket: Dealer}, h)
		await(t, l.up)
		listener.stop(t)
		require.ErrorIs(t, await(t, l.down).err, ErrClosed)
	})
}

func TestReconnectKeepsTheQueue(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		first, second, h := record(t), record(t), record(t)
		_, listener := r.listen(Options{Socket: Pull}, first)
		d, _ := r.dial(Options{Socket: Push}, h)
		require.NoError(t, d.Send(msg("one"), nil))
		assert.Equal(t, msg("one"), first.message())
		await(t, h.up)
		listener.stop(t)
		await(t, h.down)

		v := make(verdicts, 3)
		for _, s := range []string{"two", "three", "four"} {
			require.NoError(t, d.Send(msg(s), v))
		}
		r.listen(Options{Socket: Pull}, second)
		for _, s := range []string{"two", "three", "four"} {
			assert.Equal(t, msg(s), second.message())
			require.NoError(t, await(t, v))
		}
	})
}

// A connection that is stuck when it is lost has messages in every state:
// flushed, written, taken and queued. Those not begun reach the next one.
func TestReconnectAfterBeingStuck(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		jam := record(t)
		jam.hold = make(chan struct{})
		l, listener := r.listen(Options{Socket: Pull}, jam)
		h := record(t)
		d, _ := r.dial(Options{Socket: Push, Queue: QueueLimits{Bytes: 8 << 20}}, h)
		v, n := stuck(t, d.Send)
		await(t, h.up)
		l.Close() // so that the stuck one is not there to connect to again
		await(t, h.down)
		lost, before := 0, len(v)
		for range before {
			if <-v != nil {
				lost++
			}
		}
		assert.LessOrEqual(t, lost, 2, "only what was being written may be lost")
		close(jam.hold)
		listener.stop(t)

		next := record(t)
		r.listen(Options{Socket: Pull}, next)
		for range n - before {
			require.NoError(t, await(t, v))
		}
		require.NoError(t, d.Flush(t.Context()))
		require.Empty(t, v)
	})
}

func TestReconnectDropsTheQueue(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		jam := record(t)
		jam.hold = make(chan struct{})
		_, listener := r.listen(Options{Socket: Pull}, jam)
		h := record(t)
		d, _ := r.dial(Options{Socket: Push, DropOnDisconnect: true, Queue: QueueLimits{Bytes: 8 << 20}}, h)
		v, n := stuck(t, d.Send)
		await(t, h.up).Close(nil)
		await(t, h.down)
		require.Len(t, v, n, "the fate of all is known")
		close(jam.hold)
		listener.stop(t)

		next := record(t)
		r.listen(Options{Socket: Pull}, next)
		require.NoError(t, d.Send(msg("fresh"), nil))
		assert.Equal(t, msg("fresh"), next.message())
	})
}

func TestNothingIsLostInSilenceWhenADialerEnds(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		r.listen(Options{Socket: Pull}, record(t))
		d := r.dialer(Options{Socket: Pull}, nil) // of the wrong type: it never connects
		d.o.Socket = Push
		v := make(verdicts, 1)
		require.NoError(t, d.Send(msg("x"), v))
		d.o.Socket = Pull
		run := start(t, d.Run)
		eventually(t, func() bool { return r.logs.has("handshake") }, "the handshake fails")
		run.stop(t)
		require.ErrorIs(t, await(t, v), ErrClosed)
	})
}

func TestCloseIsIdempotentAndStopsRun(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		l, run := r.listen(Options{Socket: Router}, nil)
		l.Close()
		l.Close()
		require.NoError(t, await(t, run.done))
		run.done <- nil
		require.ErrorIs(t, l.Run(t.Context()), ErrRunning)

		unused, err := Listen(r.endpoint, r.options(Options{Socket: Router}), nil)
		require.NoError(t, err, "the endpoint is free again")
		unused.Close()
		require.NoError(t, unused.Run(t.Context()), "Run after Close ends at once")

		d, dialing := r.dial(Options{Socket: Dealer}, nil)
		eventually(t, d.running.Load, "Run runs")
		require.ErrorIs(t, d.Run(t.Context()), ErrRunning)
		dialing.stop(t)
	})
}

func TestEndpointInUse(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		r.listen(Options{Socket: Router}, nil)
		_, err := Listen(r.endpoint, r.options(Options{Socket: Router}), nil)
		var bind *BindError
		require.ErrorAs(t, err, &bind)
		assert.Equal(t, r.endpoint, bind.Endpoint)
	})
}

func TestSocketFiles(t *testing.T) {
	r := newRig(t, "ipc")
	path := strings.TrimPrefix(r.endpoint, "ipc://")

	// A process that was killed leaves its file.
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	left.SetUnlinkOnClose(false)
	require.NoError(t, left.Close())
	_, run := r.listen(Options{Socket: Router}, nil)

	_, err = Listen(r.endpoint, Options{Socket: Router}, nil)
	require.ErrorIs(t, err, errSocketLive)
	run.stop(t)
	assert.NoFileExists(t, path)

	require.NoError(t, os.WriteFile(path, []byte("precious"), 0o600))
	_, err = Listen(r.endpoint, Options{Socket: Router}, nil)
	require.ErrorIs(t, err, errNotSocket)
	assert.FileExists(t, path)

	_, err = Listen("ipc://"+path+"/below/s", Options{Socket: Router}, nil)
	require.ErrorAs(t, err, new(*BindError))
}

func TestRelativeSocketFile(t *testing.T) {
	t.Chdir(shortDir(t))
	r := newRig(t, "ipc")
	r.endpoint = "ipc://s"
	got := record(t)
	r.listen(Options{Socket: Pull}, got)
	assert.FileExists(t, "s")
	d, _ := r.dial(Options{Socket: Push}, nil)
	require.NoError(t, d.Send(msg("x"), nil))
	assert.Equal(t, msg("x"), got.message())
}

func TestWildcards(t *testing.T) {
	for _, endpoint := range []string{"tcp://*:0", "tcp://127.0.0.1:*", "tcp://*:*", "tcp://[::1]:0", "tcp://localhost:0"} {
		t.Run(endpoint, func(t *testing.T) {
			r := newRig(t, "tcp")
			r.endpoint = endpoint
			got := record(t)
			l, err := Listen(endpoint, r.options(Options{Socket: Pull}), got)
			if err != nil && strings.Contains(endpoint, "::1") {
				t.Skipf("no IPv6 here: %v", err)
			}
			require.NoError(t, err)
			start(t, l.Run)
			r.endpoint = l.Endpoint()
			d, _ := r.dial(Options{Socket: Push}, nil)
			require.NoError(t, d.Send(msg("x"), nil))
			assert.Equal(t, msg("x"), got.message())
		})
	}
}

// A peer that finishes sends no more, and all that it had sent arrives; so does
// what the other side says afterwards. The rest is for the next connection.
func TestFinish(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		first, h, second := record(t), record(t), record(t)
		l, listener := r.listen(Options{Socket: Router}, first)
		d, _ := r.dial(Options{Socket: Dealer}, h)
		here, there := await(t, h.up), await(t, first.up)
		l.Refuse()
		v := make(verdicts, 2)
		require.NoError(t, d.Send(msg("one"), v))
		assert.Equal(t, msg("one"), first.message())
		require.NoError(t, await(t, v))
		here.Finish()
		require.NoError(t, d.Send(msg("two"), v))
		assert.Equal(t, ended{there, io.EOF}, await(t, first.down))
		await(t, h.down)
		listener.stop(t)
		r.listen(Options{Socket: Router}, second)
		assert.Equal(t, msg("two"), second.message())
		require.NoError(t, await(t, v))
	})
}
