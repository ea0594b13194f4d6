package proxy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// A rush is a queue that takes its time, however many jobs that are.
func TestARushIsAQueueThatTakesItsTime(t *testing.T) {
	for name, c := range map[string]struct {
		cost time.Duration
		jobs int
		want bool
	}{
		"cheap jobs":                   {20 * time.Microsecond, 1000, false},
		"many":                         {20 * time.Microsecond, 3000, true},
		"dear ones":                    {20 * time.Millisecond, 4, true},
		"no more than soon get a slot": {20 * time.Millisecond, 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStation(BalancerConfig{}, 2, always(c.cost))
			assert.False(t, s.b.Rush(), "no job")
			for range 1000 {
				require.NoError(t, s.arrive(1, 0))
			}
			assert.True(t, s.b.Rush(), "of jobs of unknown cost more than slots are many")
			s.until(s.now.Add(c.cost * 600))
			for s.b.Queued() > c.jobs {
				s.until(s.now.Add(c.cost))
			}
			for s.b.Queued() < c.jobs {
				require.NoError(t, s.arrive(1, 0))
			}
			assert.Equal(t, c.want, s.b.Rush(), "the wait is %v", s.b.Wait())
		})
	}
}

// Fronts hear of a rush when it comes, and not at the next tick.
func TestARushIsToldAtOnce(t *testing.T) {
	r := &rig{t: t, space: transport.NewInproc(), logs: &logBook{}}
	p, err := New(r.config("inproc")) // does not run: nothing ticks
	require.NoError(t, err)
	slot := p.balancer.Join(Butterfly, nil)
	p.balancer.Idle(slot, nil, wire.Key{})
	require.NoError(t, p.balancer.Submit(newJob(1, 0, 0)))
	_, ok := p.balancer.Next(time.Time{})
	require.True(t, ok)
	now := time.Unix(1_700_000_000, 0)
	submit := func(id uint32) {
		now = now.Add(time.Microsecond)
		require.Empty(t, p.submit([]*envelope{forwarded(t, id, 1, 1, nil)}, true, now))
	}
	submit(2)
	require.Zero(t, p.audience.at, "as many as soon get a slot are no rush")
	submit(3)
	require.Equal(t, now, p.audience.at)
	require.EqualValues(t, 2, p.audience.told.Queued)
	submit(4)
	require.EqualValues(t, 2, p.audience.told.Queued, "what is known is told at the tick")
}
