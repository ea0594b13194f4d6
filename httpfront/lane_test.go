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

	toldLate bool // busy is told as by a proxy: every 100 ms, or when many wait
	told     bool
}

type rider struct {
	client uint32
	cost   time.Duration
	left   time.Duration
	until  time.Time
	listed bool
}

const cores = 2

func newCarousel(admits bool, cost func() time.Duration) *carousel {
	c := &carousel{now: time.Unix(1_700_000_000, 0), cost: cost}
	if admits {
		c.lane = NewLane(func() (int, bool) { return cores, c.busy() })
	}
	c.count()
	return c
}

func (c *carousel) busy() bool {
	if c.toldLate {
		return c.told
	}
	return len(c.jobs) > cores
}

// count begins to count.
func (c *carousel) count() {
	c.done, c.sent, c.dear, c.late, c.since = map[uint32]int{}, map[uint32]int{}, 0, 0, c.now
}

func (c *carousel) arrive(client uint32, timeout time.Duration) {
	c.sent[client]++
	until := c.now.Add(timeout)
	listed := false
	if c.lane != nil {
		var err error
		if listed, err = c.lane.enter(client, c.now, until); err != nil {
			return
		}
	}
	cost := c.cost()
	c.jobs = append(c.jobs, &rider{client, cost, cost, until, listed})
	c.told = c.told || len(c.jobs) > 5*cores
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
	if c.now.UnixMilli()%100 == 0 {
		c.told = len(c.jobs) > cores
	}
}

func (c *carousel) leave(j *rider, how outcome) {
	if c.lane != nil {
		c.lane.leave(j.client, j.listed, how, func() time.Time { return c.now })
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

// Proxies tell only now and then that jobs wait, so those that came before the lane
// knows it are many under a sudden load: they count, too.
func TestALaneKeepsTheGoodputFromTheFirstSecond(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 3))
		c := newCarousel(true, func() time.Duration { return 20 * time.Millisecond })
		c.toldLate = true
		c.load(r, 110, 2*time.Second) // what a full load is, is known
		c.load(r, 50, 5*time.Second)
		c.count()
		c.load(r, 1000, 3*time.Second)
		for len(c.jobs) > 0 {
			c.turn()
		}
		t.Logf("seed %d: %.1f/s of 100 in time, %d late, %d of %d of the other client", seed, c.perSecond(), c.late, c.done[2], c.sent[2])
		assert.GreaterOrEqual(t, c.perSecond(), 97.0)
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

// That for once nothing waits while there is as much to do as can be done lets no
// flood in until the next time; some more it does, to be seen to wait.
func TestALaneStaysWatchfulForAWhile(t *testing.T) {
	busy := true
	l := NewLane(func() (int, bool) { return 2, busy })
	now := time.Unix(1_700_000_000, 0)
	enter := func() error {
		_, err := l.enter(1, now, now.Add(time.Second))
		return err
	}
	for range 20 { // one every 100 ms
		require.NoError(t, enter())
		now = now.Add(100 * time.Millisecond)
		l.leave(1, true, answered, func() time.Time { return now })
	}
	in := 0
	for ; enter() == nil; in++ {
		require.Less(t, in, 100)
	}
	assert.Equal(t, 8, in, "of which the last takes 0.8 s and a quarter")
	busy = false
	now = now.Add(lingerTime)
	for range 2 {
		require.NoError(t, enter())
	}
	require.Error(t, enter())
	now = now.Add(time.Millisecond)
	require.NoError(t, enter(), "all that were there wait for answers only")
}

// Requests that came before the way was known to be busy are before those that
// come then, each client's as many as it is let have.
func TestALaneCountsWhoCameBefore(t *testing.T) {
	busy := false
	l := NewLane(func() (int, bool) { return 1, busy })
	now := time.Unix(1_700_000_000, 0)
	for range 10 {
		listed, err := l.enter(1, now, time.Time{})
		require.NoError(t, err)
		require.False(t, listed)
	}
	busy = true
	for range 3 {
		listed, err := l.enter(1, now, time.Time{})
		require.NoError(t, err)
		require.True(t, listed)
	}
	assert.Equal(t, 13, l.ahead(1))
	assert.Equal(t, 2, l.ahead(2), "one of each list")
	for range 10 {
		l.leave(1, false, dropped, time.Now)
	}
	assert.Equal(t, 3, l.ahead(1))
	assert.Equal(t, 1, l.ahead(2))
}

// Deadlines that passed while too much was asked for say nothing of later times.
func TestALaneForgetsACrowd(t *testing.T) {
	l := NewLane(func() (int, bool) { return 1, true })
	now := time.Unix(1_700_000_000, 0)
	enter := func(timeout time.Duration) error {
		_, err := l.enter(1, now, now.Add(timeout))
		return err
	}
	for range 200 { // one every 10 ms, and half of them too late
		require.NoError(t, enter(time.Hour))
		now = now.Add(10 * time.Millisecond)
		l.leave(1, true, answered, func() time.Time { return now })
		require.NoError(t, enter(time.Hour))
		l.leave(1, true, expired, func() time.Time { return now })
	}
	for range 10 {
		require.NoError(t, enter(time.Hour))
	}
	require.Error(t, enter(time.Second), "100 ms of work, ten times that are expected")
	now = now.Add(forgetTime)
	require.Error(t, enter(time.Second), "somebody came just then")
	now = now.Add(forgetTime + time.Millisecond)
	require.NoError(t, enter(time.Second))

	now = now.Add(time.Hour) // nobody came; others had gone, and were seen to wait
	require.NoError(t, enter(time.Hour))
	now = now.Add(10 * time.Millisecond)
	l.leave(1, true, answered, func() time.Time { return now })
	assert.Less(t, l.interval(), 20*time.Millisecond, "that hour is not work")
}

// At first no request is answered at all: that deadlines pass is known, too.
func TestALaneFindsOutByDeadlines(t *testing.T) {
	l := NewLane(func() (int, bool) { return 1, true })
	now := time.Unix(1_700_000_000, 0)
	enter := func(client uint32) error {
		_, err := l.enter(client, now, now.Add(time.Second))
		return err
	}
	leave := func(how outcome) { l.leave(1, true, how, func() time.Time { return now }) }
	for range 100 {
		require.NoError(t, enter(1))
	}
	for range 5 {
		now = now.Add(time.Second)
		leave(expired)
	}
	for range 95 {
		leave(dropped)
	}
	require.NoError(t, enter(1), "the workers are to have enough to do")
	var e *lateError
	require.ErrorAs(t, enter(1), &e)
	require.Positive(t, e.RetryAfter())
	_, err := l.enter(1, now, time.Time{})
	require.NoError(t, err, "it has for ever")
	for range 2 {
		leave(dropped)
	}
	assert.Zero(t, l.open.Load())
	assert.Empty(t, l.clients)
	assert.Zero(t, l.rounds.UpTo(1000))
}

// While nothing waits on the way a request is counted, and that is all: nobody is
// listed, and nobody asks the clock. What came before the way was busy counts as
// answered all the same.
func TestALaneCostsNothingWhileNothingWaits(t *testing.T) {
	busy := false
	l := NewLane(func() (int, bool) { return 1, busy })
	now := time.Unix(1_700_000_000, 0)
	never := func() time.Time {
		t.Fatal("the clock is asked")
		return now
	}
	enter := func() bool {
		listed, err := l.enter(1, now, now.Add(time.Second))
		require.NoError(t, err)
		return listed
	}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		require.False(t, enter())
		l.leave(1, false, answered, never)
	}))
	for range 10 {
		require.False(t, enter())
	}
	busy = true
	require.True(t, enter())
	for range 10 {
		now = now.Add(100 * time.Millisecond)
		l.leave(1, false, answered, func() time.Time { return now })
	}
	assert.InDelta(t, 100*time.Millisecond, l.interval(), float64(time.Microsecond))
	busy = false
	l.leave(1, true, answered, never)
	require.False(t, enter())
	l.leave(1, false, answered, never)
	assert.Zero(t, l.open.Load())
}
