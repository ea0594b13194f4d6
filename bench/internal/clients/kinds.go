package clients

import (
	"context"
	"time"

	"github.com/butterfly-zmq/butterfly/bench/internal/trial"
)

// perConnection is how many batches of requests a kept connection carries at
// most.
const perConnection = 50

func (c *client) steady(ctx context.Context)     { c.converse(ctx, 1, c.task) }
func (c *client) pipelining(ctx context.Context) { c.converse(ctx, 6, c.task) }

func (c *client) streaming(ctx context.Context) {
	c.converse(ctx, 1, func() *trial.Task {
		t := c.task()
		t.Method, t.Body, t.Fail = "GET", nil, 0
		t.Parts = 1 + c.rand.IntN(20)
		t.Size = []int{0, 100, 5000, 20_000}[c.rand.IntN(4)]
		return t
	})
}

// converse sends batches of up to most requests over one connection after the
// other.
func (c *client) converse(ctx context.Context, most int, task func() *trial.Task) {
	for {
		to := c.connect(ctx)
		if to == nil {
			return
		}
		for n := c.rand.IntN(perConnection); n >= 0 && c.think(ctx); n-- {
			var tasks []*trial.Task
			for range 1 + c.rand.IntN(most) {
				tasks = append(tasks, task())
			}
			if !c.ask(to, tasks, false) {
				break
			}
		}
		to.close()
	}
}

// fresh has a connection for every request, and half of the time says so.
func (c *client) fresh(ctx context.Context) {
	for c.think(ctx) {
		to := c.connect(ctx)
		if to == nil {
			return
		}
		c.ask(to, []*trial.Task{c.task()}, c.rand.IntN(2) == 0)
		to.close()
	}
}

// ask sends requests at once and reads their answers. It reports whether the
// connection can go on.
func (c *client) ask(to *conn, tasks []*trial.Task, closing bool) bool {
	ledger := c.load.Ledger
	if b := to.extra(); len(b) > 0 {
		ledger.Extra(to.front.Name, b)
		return false
	}
	var text []byte
	for i, t := range tasks {
		ledger.Sent(t)
		text = append(text, t.Request(closing && i == len(tasks)-1)...)
	}
	var exchanges []*Exchange
	for _, t := range tasks {
		exchanges = append(exchanges, to.exchange(t))
	}
	sent := make(chan error, 1)
	go func() { sent <- to.send(text) }() // while the answers to the first are read
	for i, e := range exchanges {
		if i > 0 {
			e.Began = exchanges[i-1].Ended
		}
		to.receive(e, c.load.patience)
		if e.Headed.IsZero() && i > 0 && exchanges[i-1].Err != nil {
			e.Began = exchanges[i-1].Began // the connection ended below both
		}
		c.judge(e)
	}
	last := exchanges[len(exchanges)-1]
	if last.Err == nil {
		if b := to.extra(); len(b) > 0 {
			ledger.Extra(to.front.Name, b)
		}
	}
	if last.Err != nil {
		to.close() // ends the writing, too
	}
	return <-sent == nil && last.Err == nil && !to.closing
}

func (c *client) judge(e *Exchange) {
	limits := c.load.Limits
	if c.load.Busy && e.Status == 503 {
		limits.Calm = false
	}
	c.load.Ledger.Judge(&limits, e)
}

// leaving sends a request and leaves, soon.
func (c *client) leaving(ctx context.Context) {
	for c.think(ctx) {
		to := c.connect(ctx)
		if to == nil {
			return
		}
		t := c.task()
		t.Work = 50 * time.Millisecond
		c.load.Ledger.Sent(t)
		_ = to.send(t.Request(false)) // a front that is gone is left as well
		c.load.Ledger.Leave()
		sleep(ctx, time.Duration(c.rand.IntN(30))*time.Millisecond)
		if c.rand.IntN(2) == 0 {
			to.reset()
		} else {
			to.close()
		}
	}
}
