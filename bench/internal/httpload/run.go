package httpload

import (
	"context"
	"sync"
	"time"
)

// Run measures one Config and reports. It connects, sends, waits for the
// answers that are due and leaves nothing behind. When ctx ends early it
// reports what was measured so far; the error is only for a bad Config.
func Run(ctx context.Context, c Config) (*Report, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	request, err := newRequest(&c)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	start := time.Now()
	var running sync.WaitGroup
	schedule := begin(ctx, &c, start, &running)
	clients := make([]*client, c.Connections)
	for i := range clients {
		clients[i] = &client{config: &c, request: request, schedule: schedule, start: start, end: endOf(&c)}
		running.Go(func() { clients[i].run(ctx) })
	}
	running.Wait()
	var sum tally
	for _, client := range clients {
		sum.add(&client.tally)
	}
	report := newReport(&c, &sum, min(time.Since(start), endOf(&c)))
	if open, ok := schedule.(*openLoop); ok {
		report.Waited = open.waited
	}
	return report, nil
}

// begin makes the schedule; an open loop's pacer joins the running ones.
func begin(ctx context.Context, c *Config, start time.Time, running *sync.WaitGroup) schedule {
	if c.Rate == 0 {
		return newClosedLoop(c)
	}
	open := newOpenLoop(c)
	running.Go(func() { open.pace(ctx, start) })
	return open
}
