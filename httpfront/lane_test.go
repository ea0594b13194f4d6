package httpfront

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// carousel is a pipeline whose workers let all jobs take turns, in steps of a
// millisecond of virtual time: two milliseconds of work in each are shared by all.
type carousel struct {
	lane  *Lane // nil: all are let in
	now   time.Time
	jobs  []*rider
	cost  func() time.Duration
	done  map[uint32]int // in time, by client
	sent  map[uint32]int
	dear  int // of those, that took more than 100 ms of work
	late  int
	since time.Time // when counting began
}

type rider struct {
	client uint32
	cost   time.Duration
	left   time.Duration
	until  time.Time
}

const cores = 2

func newCarousel(admits bool, cost func() time.Duration) *carousel {
	c := &carousel{now: time.Unix(1_700_000_000, 0), cost: cost}
	if admits {
		c.lane = NewLane(func() (int, bool) { return cores, len(c.jobs) > cores })
	}
	c.count()
	return c
}

// count begins to count.
func (c *carousel) count() {
	c.done, c.sent, c.dear, c.late, c.since = map[uint32]int{}, map[uint32]int{}, 0, 0, c.now
}

func (c *carousel) arrive(client uint32, timeout time.Duration) {
	c.sent[client]++
	until := c.now.Add(timeout)
	if c.lane != nil && c.lane.enter(client, c.now, until) != nil {
		return
	}
	cost := c.cost()
	c.jobs = append(c.jobs, &rider{client, cost, cost, until})
}

// turn lets a millisecond pass.
func (c *carousel) turn() {
	share := cores * time.Millisecond / time.Duration(max(len(c.jobs), cores))
	c.now = c.now.Add(time.Millisecond)
	stay := c.jobs[:0]
	for _, j := range c.jobs {
		j.left -= share
		switch {
		case c.now.After(j.until):
			c.late++
			c.leave(j, expired)
		case j.left <= 0:
			c.done[j.client]++
			if j.cost > 100*time.Millisecond {
				c.dear++
			}
			c.leave(j, answered)
		default:
			stay = append(stay, j)
		}
	}
	c.jobs = stay
}

func (c *carousel) leave(j *rider, how outcome) {
	if c.lane != nil {
		c.lane.leave(j.client, how, c.now)
	}
}

// load lets jobs of client come at a rate, and one of another every 100 ms.
func (c *carousel) load(r *rand.Rand, perSecond float64, while time.Duration) {
	next := 0.0
	for at := range int(while.Milliseconds()) {
		for ; next <= float64(at); next += r.ExpFloat64() * 1000 / perSecond {
			c.arrive(1, time.Second)
		}
		if at%100 == 0 {
			c.arrive(2, time.Second)
		}
		c.turn()
	}
}

func (c *carousel) perSecond() float64 {
	return float64(c.done[1]+c.done[2]) / c.now.Sub(c.since).Seconds()
}

// TestALaneKeepsTheGoodput: of a cycle the stage by which jobs enter never has a
// queue. Without a lane ten times the load is all let in, and nothing is done in
// time.
func TestALaneKeepsTheGoodput(t *testing.T) {
	for name, cost := range map[string]func(*rand.Rand) time.Duration{
		"even": func(*rand.Rand) time.Duration { return 20 * time.Millisecond },
		"mixed": func(r *rand.Rand) time.Duration {
			if r.IntN(10) == 0 {
				return 155 * time.Millisecond
			}
			return 5 * time.Millisecond
		},
	} {
		t.Run(name, func(t *testing.T) {
			run := func(admits bool) *carousel {
				r := rand.New(rand.NewPCG(1, 1))
				c := newCarousel(admits, func() time.Duration { return cost(r) })
				c.load(r, 1000, 10*time.Second) // from cold
				c.count()
				c.load(r, 1000, 30*time.Second)
				t.Logf("admits %v: %.1f/s of 100 in time, %d dear ones, %d late, %d of %d of the other client, %d open",
					admits, c.perSecond(), c.dear, c.late, c.done[2], c.sent[2], len(c.jobs))
				return c
			}
			c := run(true)
			assert.GreaterOrEqual(t, c.perSecond(), 90.0)
			assert.GreaterOrEqual(t, c.done[2], c.sent[2]*9/10, "who asks for little is let in")
			for range 2000 {
				c.turn()
			}
			assert.Empty(t, c.jobs)
			c.count()
			c.load(rand.New(rand.NewPCG(2, 1)), 40, 10*time.Second)
			assert.Greater(t, c.done[1]+c.done[2], 480, "and all are afterwards, of 500")
			assert.Less(t, run(false).perSecond(), 50.0, "or this test shows nothing")
		})
	}
}

// What is not busy is not measured, and refuses nobody: a burst after quiet hours
// is let in, though few were answered a second until then.
func TestALaneLetsABurstIn(t *testing.T) {
	c := newCarousel(true, func() time.Duration { return time.Millisecond })
	for range 20_000 {
		if c.now.UnixMilli()%200 == 0 {
			c.arrive(1, time.Second)
		}
		c.turn()
	}
	c.count()
	for range 500 {
		c.arrive(1, time.Second)
	}
	for range 2000 {
		c.turn()
	}
	assert.Equal(t, 500, c.done[1])
}

// At first no request is answered at all: that deadlines pass is known, too.
func TestALaneFindsOutByDeadlines(t *testing.T) {
	l := NewLane(func() (int, bool) { return 1, true })
	now := time.Unix(1_700_000_000, 0)
	enter := func(client uint32) error { return l.enter(client, now, now.Add(time.Second)) }
	for range 100 {
		require.NoError(t, enter(1))
	}
	for range 5 {
		now = now.Add(time.Second)
		l.leave(1, expired, now)
	}
	for range 95 {
		l.leave(1, dropped, now)
	}
	require.NoError(t, enter(1), "the workers are to have enough to do")
	var e *lateError
	require.ErrorAs(t, enter(1), &e)
	require.Positive(t, e.RetryAfter())
	require.NoError(t, l.enter(1, now, time.Time{}), "it has for ever")
	for range 2 {
		l.leave(1, dropped, now)
	}
	assert.Zero(t, l.open)
	assert.Empty(t, l.clients)
	assert.Zero(t, l.rounds.UpTo(1000))
}
