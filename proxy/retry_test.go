package proxy

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/stretchr/testify/require"
)

// repeatable returns the info frame of a job that may run more than once.
func repeatable(id uint32) *wire.Info {
	i := butterflyInfo(id)
	i.Flags |= wire.Repeatable
	return i
}

// giveUp sends the beat of a slot whose job took too long.
func (p *peer) giveUp(slot uint16, done wire.Key) {
	p.t.Helper()
	b := wire.Beat{Slot: slot, Worker: 7, Done: done, GivenUp: true}
	p.send([]byte("app"), b.AppendTo(nil))
}

// TestProxyRepeatsWhatItMay: jobs lost with their worker go to the next one,
// in their order and before others, and know that they do; the others' clients
// are told.
func TestProxyRepeatsWhatItMay(t *testing.T) {
	for _, scheme := range []string{"inproc", "ipc"} {
		t.Run(scheme, func(t *testing.T) {
			r := newRig(t, scheme, nil)
			front, first := r.front(5), r.worker(7)
			for slot := range uint16(3) {
				first.beat(slot, wire.Key{})
			}
			r.eventually(func(s wire.Status) bool { return s.Idle == 3 })
			front.submit(repeatable(1), "x")
			front.submit(butterflyInfo(2), "y")
			front.submit(repeatable(3), "z")
			front.submit(repeatable(4), "queued")
			for range 3 {
				info, _ := first.job()
				require.Zero(t, info.Attempt)
			}
			first.leave()
			r.expectAnswer(2, 502)
			second := r.worker(8)
			for slot, want := range []struct {
				id      uint32
				attempt uint8
			}{{1, 1}, {3, 1}, {4, 0}} {
				second.beat(uint16(slot), wire.Key{})
				info, payload := second.job()
				require.Equal(t, want.id, info.ID)
				require.Equal(t, want.attempt, info.Attempt)
				require.EqualValues(t, 1, info.Hops, "it has not entered the stage again")
				require.Len(t, payload, 1)
			}
			require.Empty(t, r.answers)
		})
	}
}

// TestProxyStopsPoison: a job that kills every worker is given up at the bound,
// and its id is in the log.
func TestProxyStopsPoison(t *testing.T) {
	r := newRig(t, "inproc", func(c *Config) { c.Balancer.Attempts = 4 })
	front := r.front(5)
	key := front.submit(repeatable(1), "poison")
	for attempt := range uint8(4) {
		victim := r.worker(uint64(attempt) + 7)
		victim.beat(0, wire.Key{})
		info, _ := victim.job()
		require.Equal(t, attempt, info.Attempt)
		victim.leave()
	}
	r.expectAnswer(1, 502)
	r.logs.expect(t, fmt.Sprintf(`msg="job given up" stage=test request_id=%s attempts=4`, key))
	well := r.worker(20)
	well.beat(0, wire.Key{})
	front.submit(butterflyInfo(2), "next")
	info, _ := well.job()
	require.EqualValues(t, 2, info.ID)
}

// TestProxyForgetsInterruptedJobs: nobody waits for a job whose client left
// before its worker did.
func TestProxyForgetsInterruptedJobs(t *testing.T) {
	r := newRig(t, "inproc", nil)
	front, worker := r.front(5), r.worker(7)
	worker.beat(0, wire.Key{})
	worker.beat(1, wire.Key{})
	for id := range uint32(2) {
		info := repeatable(id)
		if id == 1 {
			info = butterflyInfo(id)
		}
		key := front.submit(info, "x")
		worker.job()
		r.Interrupt(key)
	}
	worker.leave()
	r.eventually(func(s wire.Status) bool { return s.Workers == 0 })
	require.Zero(t, r.Status().Queued)
	require.Empty(t, r.answers)
}

// TestProxyTimeout: a worker that holds its job for too long loses it, to
// another or for good, is named in the status, and gets nothing until it comes
// back.
func TestProxyTimeout(t *testing.T) {
	r := newRig(t, "inproc", func(c *Config) { c.Balancer.Timeout = 200 * time.Millisecond })
	front, hangs := r.front(5), r.worker(7)
	hangs.beat(0, wire.Key{})
	hangs.beat(1, wire.Key{})
	r.eventually(func(s wire.Status) bool { return s.Idle == 2 })
	may := front.submit(repeatable(1), "x")
	began := time.Now()
	never := front.submit(butterflyInfo(2), "y")
	hangs.job()
	hangs.job()
	r.expectAnswer(2, 504)
	require.Less(t, time.Since(began), 5*time.Second)
	r.eventually(func(s wire.Status) bool { return len(s.Stuck) == 1 && s.Stuck[0] == 7 })
	r.logs.expect(t, "jobs held for too long")

	well := r.worker(8)
	well.beat(0, wire.Key{})
	info, _ := well.job()
	require.EqualValues(t, 1, info.ID)
	require.EqualValues(t, 1, info.Attempt)
	well.beat(0, may)

	hangs.beat(0, may)
	hangs.giveUp(1, never)
	r.eventually(func(s wire.Status) bool { return s.Idle == 3 && len(s.Stuck) == 0 })
	require.Empty(t, r.answers, "late beats bring about nothing")
}

// TestProxyTimeoutOfStreams: the timeout is for the first part of an answer. It
// holds again once the job is interrupted, for a worker that hangs; nobody is told
// then.
func TestProxyTimeoutOfStreams(t *testing.T) {
	r := newRig(t, "inproc", func(c *Config) { c.Balancer.Timeout = 200 * time.Millisecond })
	front, worker := r.front(5), r.worker(7)
	begun := func(slot uint16, key wire.Key) {
		b := wire.Beat{Slot: slot, Worker: 7, Done: key, Begun: true}
		worker.send([]byte("app"), b.AppendTo(nil))
	}
	worker.beat(0, wire.Key{})
	worker.beat(1, wire.Key{})
	r.eventually(func(s wire.Status) bool { return s.Idle == 2 })
	begun(2, wire.Key{ID: 9}) // of a slot that nobody knows
	first := front.submit(repeatable(1), "x")
	worker.job()
	begun(0, first)
	begun(0, first)
	begun(0, wire.Key{ID: 9}) // of a job that it does not have
	second := front.submit(repeatable(2), "y")
	worker.job()
	begun(1, second)
	third := front.submit(butterflyInfo(3), "waits")
	r.eventually(func(s wire.Status) bool { return s.Queued == 1 })
	time.Sleep(500 * time.Millisecond) // what must not happen would have
	require.Empty(t, r.answers)
	require.Empty(t, r.Status().Stuck)

	worker.beat(0, first) // it ends as any
	info, _ := worker.job()
	require.EqualValues(t, 3, info.ID)
	worker.beat(0, third)
	r.Interrupt(second)
	r.eventually(func(s wire.Status) bool { return len(s.Stuck) == 1 })
	require.Empty(t, r.answers)
	worker.beat(1, second)
	r.eventually(func(s wire.Status) bool { return len(s.Stuck) == 0 && s.Idle == 2 })
	require.Empty(t, worker.got, "it is not repeated")
}

// TestProxyIsToldOfTimeouts: the worker may notice first.
func TestProxyIsToldOfTimeouts(t *testing.T) {
	r := newRig(t, "inproc", nil) // it has no clock for it at all
	front, worker := r.front(5), r.worker(7)
	worker.beat(0, wire.Key{})
	key := front.submit(repeatable(1), "x")
	for attempt := range uint8(DefaultAttempts) {
		info, _ := worker.job()
		require.Equal(t, attempt, info.Attempt)
		worker.giveUp(0, key)
	}
	r.expectAnswer(1, 504)
	r.eventually(func(s wire.Status) bool { return s.Idle == 1 })
	require.Equal(t, 1, strings.Count(r.logs.String(), "job given up"))
}

// TestProxyPrimeTimeout: a prime_server worker that hangs is given no more jobs.
func TestProxyPrimeTimeout(t *testing.T) {
	r := newRig(t, "inproc", func(c *Config) { c.Balancer.Timeout = 100 * time.Millisecond })
	front, prime := r.front(5), r.worker(0)
	prime.send([]byte{})
	front.submit(butterflyInfo(1), "x")
	prime.job()
	r.expectAnswer(1, 504)
	front.submit(butterflyInfo(2), "y")
	r.eventually(func(s wire.Status) bool { return s.Queued == 1 })
	require.Empty(t, r.Status().Stuck, "it has no name")
	prime.send([]byte{})
	info, _ := prime.job()
	require.EqualValues(t, 2, info.ID)
}

// TestRetriesAreChecked: bounds that cannot be meant.
func TestRetriesAreChecked(t *testing.T) {
	for want, spoil := range map[string]func(*BalancerConfig){
		"-1 attempts":  func(c *BalancerConfig) { c.Attempts = -1 },
		"256 attempts": func(c *BalancerConfig) { c.Attempts = 256 },
		"the timeout":  func(c *BalancerConfig) { c.Timeout = -1 },
		"Repeat one":   func(c *BalancerConfig) { c.Repeat = RepeatNever + 1 },
	} {
		c := Config{Upstream: "inproc://a", Downstream: "inproc://b"}
		spoil(&c.Balancer)
		require.ErrorContains(t, c.Validate(), want)
	}
}

// TestProxyBeatsDoNotHideUnsentJobs: an idle prime_server worker that reads nothing
// beats all the same. The job that has not left for it is not forgotten.
func TestProxyBeatsDoNotHideUnsentJobs(t *testing.T) {
	var stuck atomic.Bool
	r := newRig(t, "inproc", func(c *Config) { c.Transport.WrapConn = stickFirst(&stuck) })
	front, sick := r.front(5), r.worker(0)
	sick.send([]byte{})
	r.eventually(func(s wire.Status) bool { return s.Idle == 1 })
	stuck.Store(true)
	front.submit(butterflyInfo(1), "x")
	r.eventually(func(s wire.Status) bool { return s.Idle == 0 })
	sick.send([]byte{})
	r.eventually(func(s wire.Status) bool { return s.Idle == 1 })
	for range 3 {
		sick.send([]byte{})
	}
	require.NoError(t, sick.dialer.Flush(context.Background()))
	sick.leave()
	r.eventually(func(s wire.Status) bool { return s.Workers == 0 })
	require.EqualValues(t, 1, r.Status().Queued)
	require.Empty(t, r.answers)
}

// TestProxyTakenBackUnsent: a job that was taken back before it left says nothing
// of the one that the worker maybe holds.
func TestProxyTakenBackUnsent(t *testing.T) {
	var stuck atomic.Bool
	r := newRig(t, "inproc", func(c *Config) {
		c.Transport.WrapConn = stickFirst(&stuck)
		c.Balancer.Timeout = 100 * time.Millisecond
	})
	front, sick := r.front(5), r.worker(0)
	sick.send([]byte{})
	front.submit(butterflyInfo(1), "done, or not")
	sick.job()
	sick.send([]byte{})
	r.eventually(func(s wire.Status) bool { return s.Idle == 1 })
	stuck.Store(true)
	front.submit(butterflyInfo(2), "never left")
	r.expectAnswer(2, 504)
	sick.leave()
	r.expectAnswer(1, 502)
	require.Zero(t, r.Status().Queued, "it is not run again")
}
