package httpfront

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// counter is a pipeline of one stage with many slots, first in first out, in steps of
// a millisecond of virtual time. Nobody is at it when a test begins.
type counter struct {
	lane    *Lane
	now     time.Time
	slots   int
	cost    func(n int) time.Duration // of the n-th job
	begun   int
	serving []*customer
	queue   []*customer // let in
	outside []*customer // held by the lane
	done    int
	refused int
	late    int

	toldLate bool // busy is told as by a proxy: every 100 ms, or when many wait
	told     bool
}

type customer struct {
	stay  stay
	came  time.Time
	until time.Time // its deadline
	ends  time.Time // its job
}

func newCounter(slots int, cyclic bool, cost func(int) time.Duration) *counter {
	c := &counter{now: time.Unix(1_700_000_000, 0), slots: slots, cost: cost}
	c.lane = NewLane(func() (int, bool) {
		if c.toldLate {
			return c.slots, c.told
		}
		return c.slots, c.busy()
	}, cyclic)
	return c
}

func (c *counter) busy() bool { return len(c.queue) > 0 && len(c.serving) == c.slots }

func (c *counter) arrive(n int, timeout time.Duration) {
	for range n {
		p := &customer{came: c.now, until: c.now.Add(timeout)}
		var err error
		switch p.stay, err = c.lane.enter(1, c.now, p.until); {
		case err != nil:
			c.refused++
		case p.stay.ticket != nil:
			c.outside = append(c.outside, p)
		default:
			c.queue = append(c.queue, p)
			c.begin()
			c.told = c.told || len(c.queue) > 5*c.slots
		}
	}
}

func (c *counter) leave(p *customer, how outcome) {
	c.lane.leave(1, p.stay, how, func() time.Time { return c.now })
}

// begin has slots begin jobs.
func (c *counter) begin() {
	for len(c.serving) < c.slots && len(c.queue) > 0 {
		p := c.queue[0]
		c.queue = c.queue[1:]
		p.ends = c.now.Add(c.cost(c.begun))
		c.begun++
		c.serving = append(c.serving, p)
	}
}

// call lets those in whose turn it is.
func (c *counter) call() {
	c.outside = slices.DeleteFunc(c.outside, func(p *customer) bool {
		if c.now.Sub(p.came) >= p.stay.ticket.most {
			c.lane.release(p.stay.ticket, c.now)
		}
		select {
		case err := <-p.stay.ticket.turn:
			if err != nil {
				c.refused++
			} else {
				c.queue = append(c.queue, p)
			}
			return true
		default:
			return false
		}
	})
	c.begin()
}

// pass lets time pass.
func (c *counter) pass(d time.Duration) {
	for end := c.now.Add(d); c.now.Before(end); {
		c.now = c.now.Add(time.Millisecond)
		for _, p := range slices.Clone(c.queue) {
			if c.now.After(p.until) {
				c.queue = slices.DeleteFunc(c.queue, func(q *customer) bool { return p == q })
				c.late++
				c.leave(p, expired)
			}
		}
		for _, p := range slices.Clone(c.serving) {
			if c.now.Before(p.ends) {
				continue
			}
			c.serving = slices.DeleteFunc(c.serving, func(q *customer) bool { return p == q })
			c.begin()
			if c.now.After(p.until) {
				c.late++
				c.leave(p, expired)
				continue
			}
			c.done++
			c.leave(p, answered)
		}
		c.call()
		if c.now.UnixMilli()%100 == 0 {
			c.told = c.busy()
		}
	}
}

func always(d time.Duration) func(int) time.Duration { return func(int) time.Duration { return d } }

// A burst that can be answered in time is, at a front that has just been started, be
// the first jobs as dear as they are where there is something to load.
func TestABurstAtAFreshFrontIsAnswered(t *testing.T) {
	for name, b := range map[string]struct {
		slots   int
		jobs    int
		cost    func(int) time.Duration
		timeout time.Duration
	}{
		"many slots":       {50, 250, always(300 * time.Millisecond), 5 * time.Second},
		"more slots":       {100, 500, always(time.Second), 10 * time.Second},
		"dear first jobs":  {2, 400, func(n int) time.Duration { return time.Millisecond + max(0, time.Duration(2-n)*100*time.Millisecond) }, time.Second},
		"one slot":         {1, 100, always(5 * time.Millisecond), time.Second},
		"some of many":     {50, 60, always(300 * time.Millisecond), 5 * time.Second},
		"less than a turn": {1, 3, always(300 * time.Millisecond), 2 * time.Second},
	} {
		for _, cyclic := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " ", cyclic), func(t *testing.T) {
				c := newCounter(b.slots, cyclic, b.cost)
				c.arrive(b.jobs, b.timeout)
				c.pass(b.timeout)
				assert.Equal(t, b.jobs, c.done, "%d refused, %d late", c.refused, c.late)
			})
		}
	}
}

// That some had little time, and did not get their answers, is nothing to those who
// have more.
func TestShortDeadlinesDoNotDecideForOthers(t *testing.T) {
	c := newCounter(100, true, always(500*time.Millisecond))
	c.arrive(10, 100*time.Millisecond)
	c.arrive(450, 10*time.Second)
	c.pass(10 * time.Second)
	assert.Equal(t, 450, c.done, "%d refused, %d late", c.refused, c.late)
	assert.Equal(t, 10, c.late)
}

// Bursts that are over soon tell no less of a lane than a long load does.
func TestABurstAfterMildOnesIsAnswered(t *testing.T) {
	for _, mild := range []int{105, 108, 120} {
		t.Run(fmt.Sprint(mild), func(t *testing.T) {
			c := newCounter(100, true, always(time.Second))
			for range 20 {
				c.arrive(120, time.Minute)
				c.pass(time.Second)
			}
			c.pass(20 * time.Second)
			for range 10 {
				c.arrive(mild, 10*time.Second)
				c.pass(20 * time.Second)
			}
			c.done = 0
			c.arrive(500, 10*time.Second)
			c.pass(10 * time.Second)
			assert.Equal(t, 500, c.done, "%d refused, %d late", c.refused, c.late)
		})
	}
}

// Who waits in the front is let in when workers come.
func TestWorkersThatComeFindJobs(t *testing.T) {
	c := newCounter(1, true, always(5*time.Second))
	c.arrive(50, 8*time.Second)
	c.pass(time.Second)
	c.slots = 100
	c.begin()
	c.pass(8 * time.Second)
	assert.Equal(t, 50, c.done, "%d refused, %d late", c.refused, c.late)
}

// The time between bursts is no work, be it told late that a burst is over.
func TestTheTimeBetweenBurstsIsNoWork(t *testing.T) {
	for _, cyclic := range []bool{false, true} {
		for _, slots := range []int{2, 16} {
			for _, gap := range []time.Duration{1500 * time.Millisecond, 3 * time.Second, 4500 * time.Millisecond, 6 * time.Second} {
				t.Run(fmt.Sprint(cyclic, slots, gap), func(t *testing.T) {
					c := newCounter(slots, cyclic, always(20*time.Millisecond))
					c.toldLate = true
					c.pass(50 * time.Millisecond) // so that each ends before it is told
					for n := range 20 {
						if n == 10 {
							c.refused, c.late = 0, 0
						}
						c.arrive(40*slots, 2*time.Second)
						c.pass(gap)
					}
					assert.Zero(t, c.refused)
					assert.Zero(t, c.late)
				})
			}
		}
	}
}

// Where jobs got cheaper, a lane that lets in few finds it out.
func TestALaneFindsOutThatJobsGotCheaper(t *testing.T) {
	for _, toldLate := range []bool{false, true} {
		t.Run(fmt.Sprint("told late: ", toldLate), func(t *testing.T) {
			const slots = 16
			cost := 2 * time.Second
			c := newCounter(slots, true, func(int) time.Duration { return cost })
			c.toldLate = toldLate
			steady := func(jobs int, every, while time.Duration) {
				for n := range int(while / every) {
					if jobs > 0 && n%int(5*time.Second/every) == 0 {
						c.arrive(jobs, time.Second)
					}
					c.arrive(1, time.Second)
					c.pass(every)
				}
			}
			steady(0, 60*time.Millisecond, 30*time.Second) // twice what it bears
			cost = 200 * time.Millisecond
			steady(2*slots, 25*time.Millisecond, 200*time.Second) // half of what it bears, and bursts
			c.done, c.refused, c.late = 0, 0, 0
			steady(2*slots, 25*time.Millisecond, 50*time.Second)
			t.Logf("pace %v, %d done, %d refused, %d late", c.lane.interval(), c.done, c.refused, c.late)
			assert.Zero(t, c.refused)
			assert.Zero(t, c.late)
		})
	}
}
