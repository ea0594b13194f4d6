package proxy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// sentAt returns a front's job that came to be at a time of its clock.
func sentAt(t time.Time) []*envelope {
	e := &envelope{}
	e.Info.Extend()
	e.Info.Time = uint32(t.Unix())
	return []*envelope{e}
}

// What is said of a clock is true of it, however long jobs are on their way, and of
// many jobs of which some come at once it is not much less than that.
func TestAClockDiffersByNoLessThanIsSaid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ahead := time.Duration(rapid.IntRange(-5000, 5000).Draw(t, "ahead")) * time.Millisecond
		w, now := clockWatch{}, time.UnixMilli(1_700_000_000_000)
		for range 40 {
			now = now.Add(time.Duration(rapid.IntRange(300, 700).Draw(t, "gap")) * time.Millisecond)
			delay := time.Duration(rapid.IntRange(0, 5).Draw(t, "delay")) * time.Millisecond
			if rapid.Bool().Draw(t, "waited") {
				delay += time.Second
			}
			w.observe(sentAt(now.Add(ahead-delay)), now)
		}
		switch {
		case ahead >= 0:
			require.LessOrEqual(t, w.offset, ahead)
			require.GreaterOrEqual(t, w.offset, time.Duration(0))
		default: // a delay of all jobs cannot be told from it
			require.GreaterOrEqual(t, w.offset, ahead-5*time.Millisecond-time.Second)
			require.LessOrEqual(t, w.offset, time.Duration(0))
		}
	})
}

func TestAClockThatDiffersIsToldOnce(t *testing.T) {
	for ahead, want := range map[time.Duration]bool{
		0: false, 400 * time.Millisecond: false, 900 * time.Millisecond: true, time.Minute: true,
		-400 * time.Millisecond: false, -2 * time.Second: true, -time.Minute: true,
	} {
		t.Run(ahead.String(), func(t *testing.T) {
			w, now, told := clockWatch{}, time.UnixMilli(1_700_000_000_000), 0
			for range 1000 {
				now = now.Add(101 * time.Millisecond)
				if w.observe(sentAt(now.Add(ahead)), now) {
					told++
				}
			}
			assert.Equal(t, want, told == 1)
			assert.LessOrEqual(t, told, 1)
			assert.InDelta(t, ahead.Seconds(), w.offset.Seconds(), 1.02)
		})
	}
}

// Jobs of other stages say nothing of it, nor those without extension.
func TestAClockIsJudgedByFrontsJobs(t *testing.T) {
	w, now := clockWatch{}, time.UnixMilli(1_700_000_000_000)
	for range 1000 {
		now = now.Add(100 * time.Millisecond)
		forwarded := sentAt(now.Add(time.Hour))
		forwarded[0].Info.Hops = 1
		require.False(t, w.observe(append(forwarded, &envelope{}), now))
	}
	assert.Zero(t, w.offset)
}

// A proxy logs it and has it among its metrics for as long as the front is there.
func TestAProxyTellsOfAClockThatDiffers(t *testing.T) {
	r := newRig(t, "inproc", nil)
	peer := &transport.Peer{}
	now := time.UnixMilli(1_700_000_000_000)
	for range 200 {
		now = now.Add(100 * time.Millisecond)
		r.heard(peer, sentAt(now.Add(3*time.Second)), now)
	}
	offset := r.Stats().Clock
	assert.Greater(t, offset, 2*time.Second)
	assert.LessOrEqual(t, offset, 3*time.Second)
	assert.Contains(t, r.logs.String(), "the clock of a front differs")
	assert.Greater(t, offset, wire.ClockSkew)
	r.clocks.forget(peer)
	assert.Zero(t, r.Stats().Clock)
}
