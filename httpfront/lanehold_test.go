package httpfront

import (
	"cmp"
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
	c.lane.mu.Unlock()
	c.answer()
	for _, asked := range c.waiting {
		got := asked.read("GET")
		require.Equal(t, 503, got.StatusCode)
		assert.NotEmpty(t, got.Header.Get("Retry-After"))
		assert.Contains(t, got.body, "too late")
	}
	for range 3 {
		c.answer()
	}
	assert.Empty(t, c.jobs)
	require.Eventually(t, func() bool { return c.lane.open.Load() == 0 }, soon, time.Millisecond)
}

// What was let in may be dear, and the workers for others idle.
func TestWhoWaitsForItsTurnIsLetInAfterAWhile(t *testing.T) {
	c := crowdIn(t, Config{Timeout: time.Hour}, 3) // an eighth of that
	c.lane.mu.Lock()
	waiting := c.lane.held
	c.lane.mu.Unlock()
	require.Equal(t, time.Hour/8, waiting[0].most.Round(time.Minute/4))
	for _, ticket := range slices.Clone(waiting) { // as their timers do
		c.lane.release(ticket)
		c.lane.release(ticket)
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
	c := crowdIn(t, Config{Timeout: 300 * time.Millisecond}, 0)
	for range queueing.LeastJobs {
		_ = wait(t, c.jobs) // they do not get any answer
	}
	last := c.dial()
	last.send(get("/waiting"))
	status := last.read("GET").StatusCode
	assert.Contains(t, []int{503, 504}, status, "when the fourth deadline passed it is known that there is no use")
	for _, asked := range c.in {
		require.Equal(t, 504, asked.read("GET").StatusCode)
	}
	require.Eventually(t, func() bool { return c.lane.open.Load() == 0 }, soon, time.Millisecond)
}
