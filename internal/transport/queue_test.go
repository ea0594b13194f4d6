package transport

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The queue against a model: whatever is put, taken, put back, settled and lost,
// order and account hold.
func TestQueueKeepsOrderAndAccount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := newQueue("p", QueueLimits{Count: 20, Bytes: 1 << 20}, keepOnLoss)
		q.attach()
		var ctl control
		next := 0              // the message that put makes
		var queued, held []int // the model: in the queue, at the writer
		take := func() {
			items, ok := q.take(nil, &ctl, false)
			require.True(t, ok)
			require.Len(t, items, len(queued))
			for i := range items {
				require.Equal(t, queued[i], len(items[i].m[0]))
			}
			held, queued = append(held, queued...), nil
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				err := q.put(Message{make([]byte, next)}, nil)
				if len(queued)+len(held) == 20 {
					require.ErrorIs(t, err, ErrQueueFull)
					return
				}
				require.NoError(t, err)
				queued = append(queued, next)
				next++
			},
			"take": func(*rapid.T) { take() },
			"settle": func(t *rapid.T) {
				for _, n := range held {
					q.settle(1, Message{make([]byte, n)}.size())
				}
				held = nil
			},
			"put back": func(*rapid.T) {
				items := make([]item, 0, len(held))
				for _, n := range held {
					m := Message{make([]byte, n)}
					items = append(items, item{m: m, size: m.size()})
				}
				q.putBack(items)
				queued, held = append(held, queued...), nil
			},
			"": func(t *rapid.T) {
				var bytes int64
				for _, n := range append(append([]int(nil), queued...), held...) {
					bytes += Message{make([]byte, n)}.size()
				}
				require.Equal(t, bytes, q.bytes)
				require.Equal(t, len(queued)+len(held), q.count)
				require.Equal(t, uint64(next), q.accepted)
				require.Equal(t, uint64(q.count), q.accepted-q.settled)
			},
		})
	})
}

func TestPingsOfAPeerThatDoesNotReadCostNothing(t *testing.T) {
	q := newQueue("p", Options{}.withDefaults().Queue, endWithPeer)
	q.attach()
	for i := range 1000 {
		q.pong(pong{length: i % maxContext})
		q.ping()
	}
	var ctl control
	_, ok := q.take(nil, &ctl, true)
	require.True(t, ok)
	assert.True(t, ctl.ping)
	require.Len(t, ctl.pongs, maxPongs)
	assert.Equal(t, 999%maxContext, ctl.pongs[maxPongs-1].length, "the latest is answered")
}

// fate keeps what a Notifier was told.
type fate struct{ told []error }

func (f *fate) Sent(err error) { f.told = append(f.told, err) }

func TestLostQueue(t *testing.T) {
	limits, lost := Options{}.withDefaults().Queue, errors.New("lost")
	for after, want := range map[afterwards]struct {
		queued int     // messages kept
		told   []error // to the Notifier of a message of the lost connection
		put    error   // afterwards
		then   []error // told of a message put afterwards
	}{
		endWithPeer: {0, []error{lost}, ErrPeerGone, nil},
		dropOnLoss:  {0, []error{lost}, nil, nil},
		keepOnLoss:  {2, nil, nil, nil},
		keepAndTell: {2, []error{ErrWaiting}, nil, []error{ErrWaiting}},
		giveBack:    {0, []error{ErrUnsent}, ErrPeerGone, nil},
	} {
		q := newQueue("p", limits, after)
		q.attach()
		var first, later fate
		require.NoError(t, q.put(msg("a"), &first))
		require.NoError(t, q.put(msg("b"), nil))
		q.detach()
		tell(q.lost(lost))
		assert.Len(t, q.items, want.queued)
		assert.Equal(t, want.told, first.told)
		require.Equal(t, want.put, q.put(msg("c"), &later))
		assert.Equal(t, want.then, later.told)
	}
}

func TestMemPipeIsAStream(t *testing.T) {
	a, b := memPipe("x")
	const total = 1 << 20
	go func() {
		left := total
		for left > 0 {
			n := min(left, 1+rand.IntN(100000))
			_, err := a.Write(make([]byte, n))
			assert.NoError(t, err)
			left -= n
		}
		_ = a.Close()
	}()
	got, buf := 0, make([]byte, 70000)
	for {
		n, err := b.Read(buf[:1+rand.IntN(len(buf))])
		got += n
		if err != nil {
			break
		}
	}
	assert.Equal(t, total, got)
	_, err := b.Write([]byte{0})
	require.Error(t, err)
	assert.Equal(t, "x", b.RemoteAddr().String())
	assert.Equal(t, "inproc", b.LocalAddr().Network())
}

// The hot path between Send and the writer reuses its memory.
func TestQueueAllocatesNothingOnceWarm(t *testing.T) {
	q := newQueue("p", Options{}.withDefaults().Queue, endWithPeer)
	q.attach()
	m, v := msg("info", "request"), make(verdicts)
	var ctl control
	var spare []item
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		for range 10 {
			_ = q.put(m, v)
		}
		items, _ := q.take(spare, &ctl, true)
		q.settle(len(items), int64(len(items))*m.size())
		spare = items[:0]
	}))
}
