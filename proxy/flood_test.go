package proxy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// forwarded is a job of another stage, with so many frames of so many bytes.
func forwarded(t *testing.T, id uint32, frames, bytes int, piece *wire.Piece) *envelope {
	t.Helper()
	info := butterflyInfo(id)
	info.Hops = 1
	if piece != nil {
		require.True(t, info.SetPiece(piece))
	}
	m := transport.Message{info.AppendTo(nil)}
	for range frames {
		m = append(m, make([]byte, bytes))
	}
	e, _, _, err := open(m)
	require.NoError(t, err)
	return e
}

// Jobs of other stages are taken beyond the bounds of fronts' jobs, and refused beyond
// their own, whatever they are: a thousand tiny frames, parts that wait for their turn,
// parts of groups that are never complete, groups that are only opened.
func TestWhatAStageKeepsIsBounded(t *testing.T) {
	const jobs, bytes = 20, 100_000
	for name, c := range map[string]struct {
		job  func(id uint32) *envelope
		kept int // of two hundred
	}{
		"small jobs":  {func(id uint32) *envelope { return forwarded(t, id, 1, 1, nil) }, 10 + jobs},
		"large ones":  {func(id uint32) *envelope { return forwarded(t, id, 1, 10_000, nil) }, 10},
		"tiny frames": {func(id uint32) *envelope { return forwarded(t, id, 200, 1, nil) }, 8},
		"parked parts": {func(id uint32) *envelope {
			return forwarded(t, 1, 1, 1, &wire.Piece{Index: id, Total: 1000, Group: 1, Join: wire.StageHash("join"), Width: 1})
		}, 10 + jobs},
		"groups of parts": {func(id uint32) *envelope {
			return forwarded(t, id, 1, 1, &wire.Piece{Total: 2, Group: 1, Join: wire.StageHash("test")})
		}, (10 + jobs) / 2},
		"groups that are only opened": {func(id uint32) *envelope {
			return forwarded(t, id, 1, 0, &wire.Piece{Total: 65536, Group: 1, Join: wire.StageHash("test"), Opening: true})
		}, 14},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "inproc", func(c *Config) {
				c.Balancer.MaxQueue, c.Balancer.MaxQueueBytes = 10, 10_000
				c.MaxForwarded, c.MaxForwardedBytes = jobs, bytes
			})
			kept := 0
			for id := range uint32(200) {
				refused := r.submit([]*envelope{c.job(id)}, true, time.Now())
				if len(refused) == 0 {
					kept++
					continue
				}
				assert.Equal(t, ErrFlooded, refused[0].Err)
			}
			assert.Equal(t, c.kept, kept)
			r.mu.Lock()
			n, size := r.load()
			r.mu.Unlock()
			assert.LessOrEqual(t, n, 10+jobs)
			assert.LessOrEqual(t, size, int64(10_000+bytes+10_000), "and one more")
			for id := range uint32(200) {
				r.Interrupt(wire.Key{Instance: 5, ID: id, Time: 1000})
			}
			r.mu.Lock()
			n, size = r.load()
			r.mu.Unlock()
			assert.Zero(t, n)
			assert.Zero(t, size, "what has gone is not counted")
		})
	}
}

// A job that the queue of fronts' jobs has no room for is refused as before, and one
// that is larger than all bounds is taken alone.
func TestTheBoundOfForwardedJobsIsNoOthers(t *testing.T) {
	r := newRig(t, "inproc", func(c *Config) {
		c.Balancer.MaxQueue, c.Balancer.MaxQueueBytes = 1, 1000
		c.MaxForwarded, c.MaxForwardedBytes = 5, 1000
	})
	assert.Empty(t, r.submit([]*envelope{forwarded(t, 1, 1, 5000, nil)}, true, time.Now()))
	fronts := forwarded(t, 2, 1, 1, nil)
	fronts.Info.Hops = 0
	refused := r.submit([]*envelope{fronts}, true, time.Now())
	require.Len(t, refused, 1)
	assert.ErrorIs(t, refused[0].Err, ErrQueueFull)
	refused = r.submit([]*envelope{forwarded(t, 3, 1, 1, nil)}, true, time.Now())
	require.Len(t, refused, 1)
	assert.Equal(t, Refusal{Status: 503, Reason: "the stage is overloaded by other stages"}, RefusalOf(refused[0].Err))
}

// What says that it comes straight from a front has no more room by many frames, whose
// bytes nobody counts, or by an info frame full of foreign bytes.
func TestFrontsJobsOfManyFramesAreBounded(t *testing.T) {
	r := newRig(t, "inproc", func(c *Config) {
		c.Balancer.MaxQueue, c.Balancer.MaxQueueBytes = 1000, 10_000
		c.MaxForwarded, c.MaxForwardedBytes = 1000, 100_000
	})
	kept := 0
	for id := range uint32(200) {
		e := forwarded(t, id, 200, 0, nil)
		e.Info.Hops = 0
		if refused := r.submit([]*envelope{e}, true, time.Now()); len(refused) == 0 {
			kept++
		} else {
			require.Equal(t, ErrFlooded, refused[0].Err)
		}
	}
	assert.Equal(t, 8, kept, "200 frames count for 12,800 bytes")

	foreign := (&wire.Info{ID: 1, Time: 1000, Version: 1}).AppendTo(nil)
	_, info, key, err := open(transport.Message{append(foreign, make([]byte, maxInfo)...), []byte("x")})
	require.ErrorAs(t, err, new(*MessageError))
	assert.True(t, key, "its front is told")
	assert.EqualValues(t, 1, info.ID)
}
