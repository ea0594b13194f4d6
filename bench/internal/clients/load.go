package clients

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/butterfly-zmq/butterfly/bench/internal/trial"
)

// Load is a number of clients of each kind, who send until they are told to
// stop, and then wait for what they have asked for.
type Load struct {
	Fronts []*Front
	Ledger *Ledger
	Limits Limits
	// Patience is how long a client waits before it gives up, what the front
	// stands still included.
	Patience time.Duration
	// Seed makes what the clients ask for; Name is the beginning of their tokens.
	Seed uint64
	Name string

	// Steady clients send one request after the other, Pipelining ones several
	// at once, Streaming ones get answers in parts, Leaving ones do not wait, and
	// Fresh ones make a connection for every request.
	Steady, Pipelining, Streaming, Leaving, Fresh int
	// Think is the longest pause before a request.
	Think time.Duration
	// Hang is how long a handler ignores its context; 0: none does. One in
	// HangOften does; 0: in a thousand.
	Hang      time.Duration
	HangOften int
	// Errors has a request in so many fail; 0: none.
	Errors int
	// Busy lets 503 be the answer even when all is calm.
	Busy bool
}

// Run loads the fronts until ctx ends.
func (l *Load) Run(ctx context.Context) {
	var running sync.WaitGroup
	n := 0
	for _, kind := range []struct {
		count int
		serve func(*client, context.Context)
	}{
		{l.Steady, (*client).steady}, {l.Pipelining, (*client).pipelining}, {l.Streaming, (*client).streaming},
		{l.Leaving, (*client).leaving}, {l.Fresh, (*client).fresh},
	} {
		for range kind.count {
			n++
			c := &client{load: l, name: fmt.Sprintf("%s%dx", l.Name, n), rand: rand.New(rand.NewPCG(l.Seed, uint64(n)))}
			running.Go(func() { kind.serve(c, ctx) })
		}
	}
	running.Wait()
}

// client is one client. It belongs to one goroutine.
type client struct {
	load *Load
	name string
	rand *rand.Rand
	sent int
}

// task makes up a request.
func (c *client) task() *trial.Task {
	c.sent++
	t := &trial.Task{Token: fmt.Sprint(c.name, c.sent), Method: http.MethodGet, Last: trial.Sum}
	switch c.rand.IntN(20) {
	case 0:
		t.Method = http.MethodHead
	case 1, 2, 3, 4, 5, 6, 7:
		t.Method = http.MethodPost
		t.Body = c.body()
	}
	if c.rand.IntN(4) == 0 {
		t.Last = trial.Note
	}
	t.Turns = []int{0, 0, 1, 2, 5}[c.rand.IntN(5)]
	t.Work = []time.Duration{0, 0, time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond}[c.rand.IntN(5)]
	t.Size = []int{0, 0, 0, 1000, 20_000, 300_000}[c.rand.IntN(6)]
	if c.load.Errors > 0 && c.rand.IntN(c.load.Errors) == 0 {
		t.Fail = 422
	}
	if c.load.Hang > 0 && t.Turns > 0 && c.rand.IntN(cmp.Or(c.load.HangOften, 1000)) == 0 {
		t.Hang = c.load.Hang
	}
	return t
}

func (c *client) body() []byte {
	b := make([]byte, []int{0, 10, 1000, 100_000}[c.rand.IntN(4)])
	for i := range b {
		b[i] = 'a' + byte(c.rand.IntN(26))
	}
	return b
}

// think pauses; false: ctx has ended.
func (c *client) think(ctx context.Context) bool {
	pause := time.Duration(0)
	if c.load.Think > 0 {
		pause = time.Duration(c.rand.Int64N(int64(c.load.Think)))
	}
	return sleep(ctx, pause)
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// connect returns a connection to any front that accepts one, nil when ctx has
// ended.
func (c *client) connect(ctx context.Context) *conn {
	for ctx.Err() == nil {
		to, err := dial(ctx, c.load.Fronts[c.rand.IntN(len(c.load.Fronts))])
		if err == nil {
			return to
		}
		if ctx.Err() == nil {
			c.load.Ledger.Unreachable()
		}
		sleep(ctx, 20*time.Millisecond)
	}
	return nil
}

// patience is how long to wait from now on: for longer where the front stands
// still.
func (l *Load) patience() time.Duration { return l.Patience }
