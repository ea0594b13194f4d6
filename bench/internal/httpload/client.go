package httpload

import (
	"context"
	"errors"
	"time"
)

// redialPause is how long a client waits after it found no connection, so that
// a closed loop against a dead server does not spin.
const redialPause = 20 * time.Millisecond

// client is one connection's goroutine: it takes a due request from the
// schedule, sends it, awaits the answer, and counts. It owns everything in it.
type client struct {
	config   *Config
	request  request
	schedule schedule
	start    time.Time
	end      time.Duration

	link    *link // nil while not connected
	answers *answers
	tally   tally
}

// run works until the schedule has no more requests or ctx ends.
func (c *client) run(ctx context.Context) {
	defer c.hangUp()
	now := time.Since(c.start)
	for {
		due, more := c.schedule.next(ctx, now)
		if !more {
			return
		}
		if c.tooLate(due) {
			continue
		}
		head, err := c.turn(ctx)
		now = time.Since(c.start)
		if ctx.Err() != nil {
			return // cut off in the middle: neither an answer nor a failure
		}
		c.count(due, now, head, err)
		if kindOf(err) == Connect {
			pause(ctx, redialPause)
			now = time.Since(c.start)
		}
	}
}

// tooLate reports whether the run ended while an open loop's request waited for
// this connection, and counts it. A closed loop's requests never wait.
func (c *client) tooLate(due time.Duration) bool {
	if c.config.Rate == 0 {
		return false
	}
	now := time.Since(c.start)
	if now < c.end {
		return false
	}
	c.tally.skipped(due, now)
	return true
}

// count keeps the result of a request that was due behind the warm-up.
func (c *client) count(due, now time.Duration, h head, err error) {
	if err == nil {
		c.tally.arrived(now, c.config.Warmup, c.end, h)
	}
	switch {
	case due < c.config.Warmup:
	case err != nil:
		c.tally.failed(due, now, err)
	default:
		c.tally.answered(due, now, c.end, h)
	}
}

// turn sends the request and awaits its answer, over the connection that is
// there or a new one.
func (c *client) turn(ctx context.Context) (h head, err error) {
	if c.link == nil {
		if err := c.dial(ctx); err != nil {
			return head{}, connectError{err}
		}
	}
	h, err = c.exchange()
	if h.closes || err != nil && !errors.Is(err, errBody) {
		c.hangUp()
	}
	return h, err
}

func (c *client) exchange() (head, error) {
	if err := c.link.extend(time.Now()); err != nil {
		return head{}, err
	}
	if err := c.link.Send(c.request.text); err != nil {
		return head{}, err
	}
	return c.answers.next(c.request.head)
}

func (c *client) dial(ctx context.Context) error {
	link, err := dial(ctx, c.request.address, c.config.Timeout)
	if err != nil {
		return err
	}
	if c.answers != nil {
		c.tally.redials++
	}
	c.link, c.answers = link, newAnswers(link, c.config.Expect)
	c.answers.onlyGood = c.config.OnlyGood
	return nil
}

func (c *client) hangUp() {
	if c.link != nil {
		_ = c.link.Close() // nothing is unread or unsent that matters
		c.link = nil
	}
}
