package transport

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMessagesArriveWholeAndInOrder(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		got := record(t)
		r.listen(Options{Socket: Pull}, got)
		d, _ := r.dial(Options{Socket: Push}, nil)
		const n = 20000
		for i := range n {
			m := Message{binary.BigEndian.AppendUint32(nil, uint32(i)), make([]byte, i%700)}
			require.NoError(t, d.Send(m, nil))
		}
		for i := range n {
			m := got.message()
			require.Len(t, m, 2)
			require.Equal(t, uint32(i), binary.BigEndian.Uint32(m[0]))
			require.Len(t, m[1], i%700)
		}
	})
}

func TestFramesKeepTheirShape(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789abcdef"), 10<<20/16) // 10 MiB
	shapes := []Message{
		msg(""), msg("", ""), msg("a", "", "b", ""), msg("one"), make(Message, 300),
		{make([]byte, 255)}, {make([]byte, 256)}, {make([]byte, directRead-1), make([]byte, directRead)},
		{make([]byte, directWrite), nil, make([]byte, directWrite+1)}, {large}, {[]byte("x"), large, []byte("y")},
		{large[:largeFrame-1], large[:largeFrame], large[:largeFrame+gatherChunk], large[:largeFrame+gatherChunk+1]},
		{large[:readBuffer*5], nil, large[:largeFrame*3], large[:largeFrame+7], []byte("z")},
	}
	onEach(t, func(t *testing.T, r *rig) {
		got := record(t)
		r.listen(Options{Socket: Router}, got)
		d, _ := r.dial(Options{Socket: Dealer}, nil)
		for _, m := range shapes {
			require.NoError(t, d.Send(m, nil))
		}
		for i, want := range shapes {
			m := got.message()
			require.Len(t, m, len(want), "message %d", i)
			for j := range m {
				require.True(t, bytes.Equal(want[j], m[j]), "message %d, frame %d", i, j)
			}
		}
	})
}

func TestBothWays(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		theirs, ours := record(t), record(t)
		r.listen(Options{Socket: Router, Instance: 7}, theirs)
		d, _ := r.dial(Options{Socket: Dealer, Instance: 1 << 63}, ours)
		up, dialed := await(t, theirs.up), await(t, ours.up)
		assert.Equal(t, uint64(1<<63), up.Instance())
		assert.Equal(t, uint64(7), dialed.Instance())
		assert.Equal(t, r.endpoint, dialed.Remote())
		assert.NotEmpty(t, up.Remote())

		require.NoError(t, d.Send(msg("job"), nil))
		assert.Equal(t, msg("job"), theirs.message())
		require.NoError(t, up.Send(msg("answer", "frames"), nil))
		assert.Equal(t, msg("answer", "frames"), ours.message())
		require.NoError(t, dialed.Send(msg("another"), nil))
		assert.Equal(t, msg("another"), theirs.message())
	})
}

// Senders of multipart messages, PINGs and PONGs share each connection.
func TestConcurrentSendersNeverInterleave(t *testing.T) {
	const senders, each = 6, 300
	onEach(t, func(t *testing.T, r *rig) {
		quick := func(s SocketType) Options {
			return Options{Socket: s, Heartbeat: time.Millisecond, PeerTimeout: time.Minute}
		}
		got := record(t)
		r.listen(quick(Router), got)
		d, _ := r.dial(quick(Dealer), nil)
		var wg sync.WaitGroup
		for s := range senders {
			wg.Go(func() {
				for i := range each {
					head := fmt.Sprintf("%d/%d", s, i)
					body := bytes.Repeat([]byte{byte(s)}, (s+1)*(i%7)*2500)
					assert.NoError(t, d.Send(Message{[]byte(head), body, []byte(head)}, nil))
				}
			})
		}
		next := make([]int, senders)
		for range senders * each {
			m := got.message()
			require.Len(t, m, 3)
			require.Equal(t, string(m[0]), string(m[2]))
			var s, i int
			_, err := fmt.Sscanf(string(m[0]), "%d/%d", &s, &i)
			require.NoError(t, err)
			require.Equal(t, next[s], i)
			next[s]++
			require.Equal(t, (s+1)*(i%7)*2500, bytes.Count(m[1], []byte{byte(s)}))
		}
		wg.Wait()
	})
}

func TestManyPeers(t *testing.T) {
	const peers = 50
	onEach(t, func(t *testing.T, r *rig) {
		l := record(t)
		r.listen(Options{Socket: Router}, l)
		hs := make([]*recorder, peers)
		for i := range hs {
			hs[i] = record(t)
			d, _ := r.dial(Options{Socket: Dealer, Instance: uint64(i + 1)}, hs[i])
			require.NoError(t, d.Send(msg(fmt.Sprint(i)), nil))
		}
		for range peers {
			in := await(t, l.got)
			require.Equal(t, fmt.Sprint(in.peer.Instance()-1), string(in.m[0]))
			require.NoError(t, in.peer.Send(in.m, nil))
		}
		for i, h := range hs {
			require.Equal(t, msg(fmt.Sprint(i)), h.message())
		}
	})
}

func TestSendRefusesWhatCannotBeSent(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		got := record(t)
		r.listen(Options{Socket: Pull}, got)
		d, _ := r.dial(Options{Socket: Push}, nil)
		require.ErrorIs(t, d.Send(nil, nil), ErrNoFrames)
		p := await(t, got.up)
		require.ErrorIs(t, p.Send(msg("x"), nil), ErrNotSender)
	})
}
