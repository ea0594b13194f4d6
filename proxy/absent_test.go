package proxy

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// jobFrom makes the envelope of a front's job; with a piece it is a part.
func jobFrom(t *testing.T, front uint64, id uint32, piece *wire.Piece) *envelope {
	t.Helper()
	info := wire.Info{ID: id, Time: 1}
	info.Extend()
	info.Instance = front
	if piece != nil {
		info.Hops = 1
		info.SetPiece(piece)
	}
	e, _, _, err := open(transport.Message{info.AppendTo(nil), []byte("job")})
	require.NoError(t, err)
	return e
}

// held are the keys of a front's jobs that a proxy has.
func (r *rig) held(front uint64) map[uint32]int {
	ids := make(map[uint32]int)
	r.Held(front, func(key wire.Key) { ids[key.ID]++ })
	return ids
}

func TestAFrontsJobsLeaveTheQueueWhenItHasGone(t *testing.T) {
	for name, replaced := range map[string]bool{"for a while": false, "for good": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "inproc", nil)
			narrow := func(i uint32) *wire.Piece {
				return &wire.Piece{Index: i, Total: 9, Group: 1, Join: wire.StageHash("sum"), Width: 1}
			}
			joined := &wire.Piece{Total: 2, Group: 1, Join: wire.StageHash("test")}
			send := func(front uint64, id uint32, piece *wire.Piece) {
				r.refuseAll(r.submit([]*envelope{jobFrom(t, front, id, piece)}, false, time.Now()))
			}
			for _, front := range []uint64{5, 6} {
				send(front, 1, nil)
				send(front, 2, narrow(0))
				send(front, 2, narrow(1))
				send(front, 3, joined)
			}
			assert.Equal(t, map[uint32]int{1: 1, 2: 2, 3: 1}, r.held(5))
			r.FrontGone(5, replaced)
			send(5, 4, nil)
			assert.Empty(t, r.held(5))
			assert.Equal(t, map[uint32]int{1: 1, 2: 2, 3: 1}, r.held(6), "others' stay")
			if replaced {
				assert.Empty(t, r.answers)
			} else {
				for _, id := range []uint32{1, 2, 3, 4} {
					a := receive(t, r.answers)
					assert.Equal(t, id, a.Info.ID)
					assert.EqualValues(t, 502, a.Info.Code)
					assert.True(t, a.Info.Flags.Has(wire.Lost), "it may try again if it comes back")
				}
			}
			r.FrontBack(5)
			send(5, 5, nil)
			assert.Equal(t, map[uint32]int{5: 1}, r.held(5))
		})
	}
}

// What a worker has is claimed for it, and given up with it if its front has gone.
func TestAJobThatAWorkerHasIsHeldUntilItsBeat(t *testing.T) {
	r := newRig(t, "inproc", nil)
	w := &worker{conn: deaf{}}
	r.mu.Lock()
	r.workers[new(transport.Peer)] = w
	r.mu.Unlock()
	beat := func(done wire.Key) {
		b := wire.Beat{Worker: 7, Done: done}
		require.NoError(t, r.hear(w, []transport.Message{{nil, b.AppendTo(nil)}}, time.Now()))
	}
	beat(wire.Key{})
	job := jobFrom(t, 5, 1, nil)
	r.refuseAll(r.submit([]*envelope{job}, false, time.Now()))
	assert.Equal(t, map[uint32]int{1: 1}, r.held(5))
	beat(wire.Key{Instance: 5, ID: 1, Time: 1})
	assert.Empty(t, r.held(5))

	r.refuseAll(r.submit([]*envelope{jobFrom(t, 5, 2, nil)}, false, time.Now()))
	w.places[0].Sent(nil)
	w.places[0].Sent(nil)
	r.FrontGone(5, false)
	assert.Empty(t, r.answers, "its worker gives it up")
	r.mourn(w, false, time.Now())
	r.expectAnswer(2, 502)
}

// deaf is a connection whose messages nobody reads.
type deaf struct{}

func (deaf) Send(transport.Message, transport.Notifier) error { return nil }
func (deaf) Close(error)                                      {}

// What a worker had done may not have left it when it died: fronts are to look.
func TestTheLossOfAWorkerThatHasNotWithdrawnIsTold(t *testing.T) {
	told := 0
	r := newRig(t, "inproc", func(c *Config) { c.Lost = func() { told++ } })
	for _, withdraws := range []bool{true, false} {
		w, peer := &worker{conn: deaf{}}, new(transport.Peer)
		r.mu.Lock()
		r.workers[peer] = w
		r.mu.Unlock()
		for _, last := range []bool{false, withdraws} {
			b := wire.Beat{Worker: 7, Withdraw: last}
			require.NoError(t, r.hear(w, []transport.Message{{nil, b.AppendTo(nil)}}, time.Now()))
		}
		downstream{r.Proxy}.PeerDown(peer, io.EOF)
	}
	assert.Equal(t, 1, told)
}
