package httpfront

import (
	"math/rand/v2"
	"slices"
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
	queue []*rider // those that are not let in yet
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
	stay   stay
}

const cores = 2

func newCarousel(admits bool, cost func() time.Duration) *carousel {
	c := &carousel{now: time.Unix(1_700_000_000, 0), cost: cost}
	if admits {
		c.lane = NewLane(func() (int, bool) { return cores, c.busy() }, true)
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
	cost := c.cost()
	j := &rider{client, cost, cost, c.now.Add(timeout), stay{}}
	if c.lane != nil {
		var err error
		if j.stay, err = c.lane.enter(client, c.now, j.until); err != nil {
			return
		}
	}
	if j.stay.ticket != nil {
		c.queue = append(c.queue, j)
		return
	}
	c.board(j)
}

func (c *carousel) board(j *rider) {
	c.jobs = append(c.jobs, j)
	c.told = c.told || len(c.jobs) > 5*cores
}

// call lets those in whose turn it is.
func (c *carousel) call() {
	c.queue = slices.DeleteFunc(c.queue, func(j *rider) bool {
		select {
		case err := <-j.stay.ticket.turn:
			if err == nil {
				c.board(j)
			}
			return true
		default:
		}
		if c.now.After(j.until.Add(j.stay.ticket.most - time.Second)) { // it has waited long enough
			c.lane.release(j.stay.ticket, c.now)
		}
		return false
	})
}

// turn lets a millisecond pass.
func (c *carousel) turn() {
	share := cores * time.Millisecond / time.Duration(max(len(c.jobs), cores))
	c.now = c.now.Add(time.Millisecond)
	c.call()
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
		c.lane.leave(j.client, j.stay, how, func() time.Time { return c.now })
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
		for _, cold := range []bool{false, true} {
			c := newCarousel(true, func() time.Duration { return 20 * time.Millisecond })
			c.toldLate = true
			if !cold { // what a full load is, is known
				c.load(r, 110, 2*time.Second)
				c.load(r, 50, 5*time.Second)
			}
			c.count()
			c.load(r, 1000, 3*time.Second)
			for len(c.jobs)+len(c.queue) > 0 {
				c.turn()
			}
			t.Logf("seed %d, cold: %v: %.1f/s of 100 in time, %d late, %d of %d of the other client", seed, cold, c.perSecond(), c.late, c.done[2], c.sent[2])
			assert.GreaterOrEqual(t, c.perSecond(), 97.0)
		}
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
	l := NewLane(func() (int, bool) { return 2, busy }, true)
	now := time.Unix(1_700_000_000, 0)
	enter := func() error {
		_, err := l.enter(1, now, now.Add(time.Second))
		return err
	}
	for range 20 { // one every 100 ms
		require.NoError(t, enter())
		now = now.Add(100 * time.Millisecond)
		l.leave(1, stay{listed: true}, answered, func() time.Time { return now })
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
	l := NewLane(func() (int, bool) { return 1, busy }, true)
	now := time.Unix(1_700_000_000, 0)
	for range 10 {
		s, err := l.enter(1, now, time.Time{})
		require.NoError(t, err)
		require.False(t, s.listed)
	}
	busy = true
	for range 3 {
		s, err := l.enter(1, now, time.Time{})
		require.NoError(t, err)
		require.True(t, s.listed)
	}
	assert.Equal(t, 13, l.ahead(1))
	assert.Equal(t, 2, l.ahead(2), "one of each list")
	for range 10 {
		l.leave(1, stay{}, dropped, time.Now)
	}
	assert.Equal(t, 3, l.ahead(1))
	assert.Equal(t, 1, l.ahead(2))
}

// Deadlines that passed while too much was asked for say nothing of later times.
func TestALaneForgetsACrowd(t *testing.T) {
	l := NewLane(func() (int, bool) { return 1, true }, true)
	now := time.Unix(1_700_000_000, 0)
	enter := func(timeout time.Duration) error {
		_, err := l.enter(1, now, now.Add(timeout))
		return err
	}
	for range 200 { // one every 10 ms, and half of them too late
		require.NoError(t, enter(time.Hour))
		now = now.Add(10 * time.Millisecond)
		l.leave(1, stay{listed: true}, answered, func() time.Time { return now })
		require.NoError(t, enter(time.Hour))
		l.leave(1, stay{listed: true}, expired, func() time.Time { return now })
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
	l.leave(1, stay{listed: true}, answered, func() time.Time { return now })
	assert.Less(t, l.interval(), 20*time.Millisecond, "that hour is not work")
}

// turns takes what became of those that had to wait.
func turns(waiting []*ticket) (in, refused []*ticket, still int) {
	for _, t := range waiting {
		select {
		case err := <-t.turn:
			if err == nil {
				in = append(in, t)
			} else {
				refused = append(refused, t)
			}
		default:
			still++
		}
	}
	return in, refused, still
}

// A lane that knows nothing lets as many in as keep the workers busy. The others wait
// for what becomes of those: if no request is answered at all, deadlines that pass
// tell, too.
func TestALaneFindsOutByDeadlines(t *testing.T) {
	l := NewLane(func() (int, bool) { return 1, true }, true)
	now := time.Unix(1_700_000_000, 0)
	enter := func(client uint32) (stay, error) { return l.enter(client, now, now.Add(10*time.Second)) }
	leave := func(s stay, how outcome) { l.leave(1, s, how, func() time.Time { return now }) }
	let, waiting := []stay{}, []*ticket{}
	for range 100 {
		s, err := enter(1)
		require.NoError(t, err)
		if s.ticket == nil {
			let = append(let, s)
		} else {
			waiting = append(waiting, s.ticket)
		}
	}
	require.Len(t, let, 4)
	forever, err := l.enter(1, now, time.Time{})
	require.NoError(t, err)
	require.Nil(t, forever.ticket, "it has for ever")
	for _, s := range let {
		now = now.Add(3 * time.Second)
		leave(s, expired)
	}
	in, refused, still := turns(waiting)
	assert.Len(t, in, 2, "four at a time, until it was known")
	assert.Empty(t, refused)
	assert.Equal(t, 94, still, "they are given a moment more")
	for _, ticket := range waiting {
		l.release(ticket, now)
	}
	_, refused, still = turns(waiting)
	assert.Len(t, refused, 94)
	assert.Equal(t, 2, still)
	var e *lateError
	_, err = enter(1)
	require.ErrorAs(t, err, &e)
	require.Positive(t, e.RetryAfter())
	leave(forever, dropped)
	for _, ticket := range slices.Concat(in, refused) {
		leave(stay{ticket: ticket}, dropped)
	}
	assert.Zero(t, l.open.Load())
	assert.Empty(t, l.clients)
	assert.Zero(t, l.rounds.UpTo(1000))
	assert.Zero(t, l.listed)
}

// Those that wait are let in by what the first answers tell, and until then whose
// client has the fewest in the lane. Who leaves waits no more.
func TestALaneHasRequestsWaitUntilItKnows(t *testing.T) {
	l := NewLane(func() (int, bool) { return 2, true }, true)
	now := time.Unix(1_700_000_000, 0)
	leave := func(client uint32, s stay, how outcome) {
		l.leave(client, s, how, func() time.Time { return now })
	}
	answer := func(client uint32, s stay) {
		now = now.Add(100 * time.Millisecond)
		leave(client, s, answered)
	}
	enter := func(client uint32) stay {
		s, err := l.enter(client, now, now.Add(2*time.Second))
		require.NoError(t, err)
		return s
	}
	first := []stay{enter(1), enter(1), enter(1), enter(1)}
	many := make([]*ticket, 100)
	for i := range many {
		many[i] = enter(1).ticket
		require.NotNil(t, many[i])
	}
	other := enter(2).ticket
	leave(1, stay{ticket: many[0]}, dropped)
	answer(1, first[0]) // the measure begins
	in, _, _ := turns([]*ticket{other})
	require.Len(t, in, 1, "another client is before those of one that has some")
	for _, s := range first[1:] {
		answer(1, s)
	}
	in, refused, still := turns(many[1:])
	require.Len(t, in, 3, "one for each that left")
	require.Empty(t, refused)
	require.Equal(t, 96, still)
	answer(2, stay{ticket: other})
	let, refused, _ := turns(many[1:])
	require.Empty(t, refused, "it is not for sure yet")
	require.Len(t, let, 9, "one is answered every 100 ms: behind three more the last of them in 1.2 s and a quarter")
	for _, ticket := range many[1:] {
		l.release(ticket, now)
	}
	_, refused, _ = turns(many[1:])
	assert.Len(t, refused, 87)
	for _, ticket := range slices.Concat(in, let, refused) {
		leave(1, stay{ticket: ticket}, dropped)
	}
	assert.Zero(t, l.open.Load())
	assert.Empty(t, l.clients)
}

// While nothing waits on the way a request is counted, and that is all: nobody is
// listed, and nobody asks the clock. What came before the way was busy counts as
// answered all the same.
func TestALaneCostsNothingWhileNothingWaits(t *testing.T) {
	busy := false
	l := NewLane(func() (int, bool) { return 1, busy }, true)
	now := time.Unix(1_700_000_000, 0)
	never := func() time.Time {
		t.Fatal("the clock is asked")
		return now
	}
	enter := func() stay {
		s, err := l.enter(1, now, now.Add(time.Second))
		require.NoError(t, err)
		return s
	}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if enter() != (stay{}) {
			t.Fatal("it is listed")
		}
		l.leave(1, stay{}, answered, never)
	}))
	for range 10 {
		require.Zero(t, enter())
	}
	busy = true
	last := enter()
	require.NotNil(t, last.ticket)
	for range 10 {
		now = now.Add(100 * time.Millisecond)
		l.leave(1, stay{}, answered, func() time.Time { return now })
	}
	assert.InDelta(t, 100*time.Millisecond, l.interval(), float64(time.Microsecond))
	busy = false
	l.leave(1, last, answered, never)
	require.Zero(t, enter())
	l.leave(1, stay{}, answered, never)
	assert.Zero(t, l.open.Load())
}
