package transport

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestQueueIsBounded(t *testing.T) {
	r := newRig(t, "inproc")
	d := r.dialer(Options{Socket: Push, Queue: QueueLimits{Count: 3, Bytes: 1000}}, nil)
	for range 3 {
		require.NoError(t, d.Send(msg("x"), nil))
	}
	err := d.Send(msg("x"), nil)
	require.ErrorIs(t, err, ErrQueueFull)
	full, ok := errors.AsType[*QueueFullError](err)
	require.True(t, ok)
	assert.Equal(t, QueueFullError{Peer: "inproc://rig", Count: 3, Bytes: 3 * (1 + frameOverhead)}, *full)

	d = r.dialer(Options{Socket: Push, Queue: QueueLimits{Count: 3, Bytes: 1000}}, nil)
	require.NoError(t, d.Send(Message{make([]byte, 5000)}, nil), "a large message alone is taken")
	require.ErrorIs(t, d.Send(msg("x"), nil), ErrQueueFull, "and then nothing more")
	start(t, d.Run).stop(t)
	require.ErrorIs(t, d.Send(msg("x"), nil), ErrClosed)
}

// stuck lets messages go to a peer that does not read until its queue is full,
// and returns the verdicts and how many there have to be.
func stuck(t *testing.T, send func(Message, Notifier) error) (verdicts, int) {
	v := make(verdicts, 1<<16)
	for n := 0; ; n++ {
		if err := send(Message{make([]byte, 64<<10)}, v); err != nil {
			require.ErrorIs(t, err, ErrQueueFull)
			return v, n
		}
		require.Less(t, n, 10000, "the queue never fills")
	}
}

func TestStuckPeerDelaysNobody(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		l := record(t)
		r.listen(Options{Socket: Router, Queue: QueueLimits{Bytes: 4 << 20}}, l)
		jam := record(t)
		jam.hold = make(chan struct{})
		r.dial(Options{Socket: Dealer}, jam)
		bad := await(t, l.up)
		stuck(t, bad.Send)

		fine := record(t)
		r.dial(Options{Socket: Dealer}, fine)
		good := await(t, l.up)
		for range 100 {
			require.NoError(t, good.Send(msg("hello"), nil))
			require.Equal(t, msg("hello"), fine.message())
		}
		close(jam.hold)
		assert.Len(t, jam.message()[0], 64<<10)
	})
}

func TestNotifiersAreToldOnce(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		l := record(t)
		r.listen(Options{Socket: Router, Queue: QueueLimits{Bytes: 4 << 20}}, l)
		jam := record(t)
		jam.hold = make(chan struct{})
		r.dial(Options{Socket: Dealer}, jam)
		p := await(t, l.up)
		v, n := stuck(t, p.Send)
		cause := errors.New("enough")
		p.Close(cause)
		p.Close(errors.New("too late"))
		require.ErrorIs(t, p.Send(msg("x"), v), ErrPeerGone)
		end := await(t, l.down)
		assert.Equal(t, ended{p, cause}, end)

		// PeerDown comes last: every verdict is there by now.
		require.Len(t, v, n)
		failed := false
		for range n {
			err := <-v
			require.True(t, err == nil || errors.Is(err, cause))
			require.False(t, failed && err == nil, "a message left after one that did not")
			failed = err != nil
		}
		assert.True(t, failed)
		close(jam.hold)
	})
}

func TestNotifierMaySend(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		got := record(t)
		r.listen(Options{Socket: Pull}, got)
		d, _ := r.dial(Options{Socket: Push}, nil)
		again := notify(func(err error) {
			assert.NoError(t, err)
			assert.NoError(t, d.Send(msg("second"), nil))
		})
		require.NoError(t, d.Send(msg("first"), again))
		assert.Equal(t, msg("first"), got.message())
		assert.Equal(t, msg("second"), got.message())
	})
}

type notify func(error)

func (f notify) Sent(err error) { f(err) }

func TestFlush(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		got := record(t)
		r.listen(Options{Socket: Pull}, got)
		d := r.dialer(Options{Socket: Push}, nil)
		v := make(verdicts, 1000)
		for range cap(v) {
			require.NoError(t, d.Send(msg("x"), v))
		}
		run := start(t, d.Run)
		require.NoError(t, d.Flush(t.Context()))
		run.stop(t) // what was flushed arrives although this is a hard stop
		for range cap(v) {
			got.message()
			require.NoError(t, <-v)
		}
	})
}

func TestFlushEndsWithItsContext(t *testing.T) {
	d := newRig(t, "inproc").dialer(Options{Socket: Push}, nil)
	require.NoError(t, d.Flush(t.Context()), "nothing is queued")
	require.NoError(t, d.Send(msg("x"), nil))
	reason := errors.New("no time")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	require.ErrorIs(t, d.Flush(ctx), reason, "nobody is connected")
	require.Empty(t, d.out.flushers)
}

// faulty fails every write from the moment it is broken, after so many bytes.
type faulty struct {
	net.Conn
	mu     sync.Mutex // guards the fields below
	broken bool
	takes  int
}

var errFault = errors.New("injected")

func (f *faulty) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.broken {
		return f.Conn.Write(p)
	}
	n, _ := f.Conn.Write(p[:min(len(p), f.takes)])
	return n, errFault
}

// breakAfter breaks it.
func (f *faulty) breakAfter(bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken, f.takes = true, bytes
}

// A failing write ends the connection. A message of which the kernel took something
// is lost, one of which it took nothing waits for the next connection.
func TestWriteErrorEndsTheConnection(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		got := record(t)
		r.listen(Options{Socket: Pull}, got)
		conns := make(chan *faulty, 100)
		wrap := func(nc net.Conn) net.Conn {
			f := &faulty{Conn: nc}
			conns <- f
			return f
		}
		h := record(t)
		d, _ := r.dial(Options{Socket: Push, WrapConn: wrap}, h)
		v := make(verdicts, 2)
		for _, takes := range []int{1, 0} {
			await(t, h.up)
			await(t, conns).breakAfter(takes)
			if takes > 0 && r.ca == nil { // of TLS nobody can read a part
				require.NoError(t, d.Send(msg("lost"), v))
				require.ErrorIs(t, await(t, v), errFault)
			} else {
				require.NoError(t, d.Send(msg("first"), v))
				require.NoError(t, d.Send(msg("second"), v))
				for _, text := range []string{"first", "second"} {
					require.NoError(t, await(t, v))
					assert.Equal(t, msg(text), got.message())
				}
			}
			require.ErrorIs(t, await(t, h.down).err, errFault)
		}
		await(t, h.up) // the next connection is a sound one
		require.NoError(t, d.Send(msg("arrives"), v))
		require.NoError(t, await(t, v))
		assert.Equal(t, msg("arrives"), got.message())
	})
}
