package httpfront

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/internal/queueing"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// crowded is a front whose lane knows nothing yet and has as many requests as it
// lets in then, and some that wait.
type crowded struct {
	*rig
	lane    *Lane
	jobs    chan *loopback.Job
	in      []*client
	waiting []*client
}

func crowdIn(t *testing.T, cfg Config, waiting int) *crowded {
	cfg.Timeout = cmp.Or(cfg.Timeout, 10*time.Hour)
	c := &crowded{lane: NewLane(func() (int, bool) { return 1, true }, true), jobs: make(chan *loopback.Job, 100)}
	c.lane.mostHeld = time.Hour
	cfg.Lane = c.lane
	c.rig = start(t, cfg, hold(c.jobs))
	for range queueing.LeastJobs {
		c.in = append(c.in, c.ask("/in"))
	}
	for n := range waiting {
		c.waiting = append(c.waiting, c.ask("/waiting"))
		c.holds(n + 1)
	}
	return c
}

func (c *crowded) ask(target string) *client {
	asks := c.dial()
	asks.send(get(target))
	if target == "/in" {
		require.Eventually(c.t, func() bool { return len(c.jobs) == len(c.in)+1 }, soon, time.Millisecond)
	}
	return asks
}

// holds waits until so many requests wait for their turn.
func (c *crowded) holds(n int) {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		c.lane.mu.Lock()
		defer c.lane.mu.Unlock()
		return len(c.lane.held) == n
	}, soon, time.Millisecond)
}

// answer answers the job that came first.
func (c *crowded) answer() {
	c.t.Helper()
	c.reply(wait(c.t, c.jobs), httptext.NewText(200, "done"))
}

func TestWhoWaitsForItsTurnIsLetIn(t *testing.T) {
	c := crowdIn(t, Config{}, 3)
	require.NoError(t, c.waiting[0].SetLinger(0))
	require.NoError(t, c.waiting[0].Close())
	c.holds(2)
	c.answer()
	require.Equal(t, 200, c.in[0].read("GET").StatusCode)
	c.holds(1)
	for range 5 {
		c.answer()
	}
	for _, asked := range append(c.in[1:], c.waiting[1:]...) {
		require.Equal(t, 200, asked.read("GET").StatusCode)
	}
	assert.Empty(t, c.jobs, "who had left does not have a job")
	require.Eventually(t, func() bool { return c.lane.open.Load() == 0 }, soon, time.Millisecond)
}

func TestWhoWaitsForItsTurnIsRefused(t *testing.T) {
	c := crowdIn(t, Config{Timeout: time.Minute}, 3)
	c.lane.mu.Lock()
	now := time.Now()
	c.lane.pace.Pause()
	c.lane.pace.Observe(now.Add(-time.Hour), c.lane.answered)
	c.lane.pace.Observe(now, c.lane.answered+10) // six minutes for each
	c.lane.pace.Pause()
	c.lane.ended = queueing.LeastJobs - 1
	waiting := slices.Clone(c.lane.held)
	c.lane.mu.Unlock()
	c.answer()
	require.Equal(t, 200, c.in[0].read("GET").StatusCode)
	c.holds(3) // they might be wrong
	for _, ticket := range waiting {
		c.lane.release(ticket, time.Now())
	}
	for _, asked := range c.waiting {
		got := asked.read("GET")
		require.Equal(t, 503, got.StatusCode)
		assert.NotEmpty(t, got.Header.Get("Retry-After"))
		assert.Contains(t, got.body, "too late")
	}
	assert.EqualValues(t, 3, c.Stats().TooLate)
	for range 3 {
		c.answer()
	}
	assert.Empty(t, c.jobs)
	require.Eventually(t, func() bool { return c.lane.open.Load() == 0 }, soon, time.Millisecond)
}

// What was let in may be dear, and the workers for others idle.
func TestWhoWaitsForItsTurnIsLetInAfterAWhile(t *testing.T) {
	c := crowdIn(t, Config{Timeout: time.Hour}, 3) // a quarter of that
	c.lane.mu.Lock()
	waiting := c.lane.held
	c.lane.mu.Unlock()
	require.Equal(t, time.Hour/4, waiting[0].most.Round(time.Minute/4))
	for _, ticket := range slices.Clone(waiting) { // as their timers do
		c.lane.release(ticket, time.Now())
		c.lane.release(ticket, time.Now())
	}
	for range 7 {
		c.answer()
	}
	for _, asked := range append(c.in, c.waiting...) {
		require.Equal(t, 200, asked.read("GET").StatusCode)
	}
	require.Eventually(t, func() bool { return c.lane.open.Load() == 0 }, soon, time.Millisecond)
	c.lane.mu.Lock()
	defer c.lane.mu.Unlock()
	assert.Empty(t, c.lane.clients)
}

// They need not be told for that.
func TestWhoWaitsForItsTurnIsLetInByATimer(t *testing.T) {
	c := crowdIn(t, Config{Timeout: time.Hour}, 0)
	c.lane.mostHeld = 10 * time.Millisecond
	last := c.dial()
	last.send(get("/"))
	for range 5 {
		c.answer() // the first of them may let it in, too
	}
	require.Equal(t, 200, last.read("GET").StatusCode)
}

// In a graph without a cycle the first answers come before all others are done.
func TestNobodyWaitsForItsTurnWithoutACycle(t *testing.T) {
	l := NewLane(func() (int, bool) { return 1, true }, false)
	for range 100 {
		s, err := l.enter(1, time.Now(), time.Now().Add(time.Hour))
		require.NoError(t, err)
		require.Nil(t, s.ticket)
	}
}

func TestWhoWaitsForItsTurnHasADeadline(t *testing.T) {
	c := crowdIn(t, Config{Timeout: 2 * time.Second}, 1)
	for _, asked := range append(c.in, c.waiting...) {
		require.Equal(t, 504, asked.read("GET").StatusCode)
	}
	assert.Len(t, c.jobs, queueing.LeastJobs+1, "a quarter of its time is all that it waited")
	require.Eventually(t, func() bool { return c.lane.open.Load() == 0 }, soon, time.Millisecond)
}

// A request leaves its lane however it ends.
func TestALaneIsLeft(t *testing.T) {
	for name, c := range map[string]struct {
		table  loopback.TableConfig
		stage  func(*rig, *loopback.Job) error
		status int
	}{
		"panic":   {stage: func(*rig, *loopback.Job) error { panic("on purpose") }, status: 500},
		"refused": {stage: func(*rig, *loopback.Job) error { return loopback.ErrFull }, status: 503},
		"full":    {table: loopback.TableConfig{MaxPendingBytes: 1}, stage: echo, status: 503},
		"done":    {stage: echo, status: 200},
	} {
		for _, busy := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " ", busy), func(t *testing.T) {
				lane := NewLane(func() (int, bool) { return 1, busy }, true)
				r := startWith(t, Config{Lane: lane}, c.table, c.stage)
				asked := r.dial()
				asked.send(get("/"))
				require.Equal(t, c.status, asked.read("GET").StatusCode)
				require.Eventually(t, func() bool { return lane.open.Load() == 0 }, soon, time.Millisecond)
				lane.mu.Lock()
				defer lane.mu.Unlock()
				assert.Zero(t, lane.listed)
				assert.Zero(t, lane.rounds.UpTo(1000))
			})
		}
	}
}
