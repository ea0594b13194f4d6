package proxy

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/internal/zmqpeer"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// TestCountersRememberRightly: whatever ways jobs come, in whichever form, what
// is remembered is what counting anew gives.
func TestCountersRememberRightly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var counters []counter
		stages := rapid.IntRange(1, 12).Draw(t, "stages")
		for n := range stages {
			c := BalancerConfig{Stage: fmt.Sprint("s", n), MaxVisits: rapid.IntRange(0, 5).Draw(t, "max")}
			counters = append(counters, newCounter(c))
		}
		for range 5 {
			var want wire.Way
			info := newJob(1, 0, 0).Info
			for range rapid.IntRange(1, 20).Draw(t, "hops") {
				c := &counters[rapid.IntRange(0, stages-1).Draw(t, "stage")]
				visits := want.Enter(c.stage, c.bounded)
				before := info.Way
				var copied wire.Way
				if before != nil {
					copied = *before
				}
				err := c.enter(&info)
				require.Equal(t, want, *info.Way)
				require.Equal(t, visits > c.maxVisits, err != nil)
				if before != nil {
					require.Equal(t, copied, *before, "the way before is not changed: others may share it")
				}
				if rapid.Bool().Draw(t, "wire") {
					read, err := wire.ParseInfo(info.AppendTo(nil))
					require.NoError(t, err)
					info = read
				}
			}
		}
	})
}

// TestChainsAreCountedWithoutAllocating: as many routes as a counter remembers,
// inside one process and over the wire.
func TestChainsAreCountedWithoutAllocating(t *testing.T) {
	config := func(name string) BalancerConfig { return BalancerConfig{Stage: name, MaxHops: 100, MaxVisits: 100} }
	var firsts []counter
	for n := range memoized {
		firsts = append(firsts, newCounter(config(fmt.Sprint("first ", n))))
	}
	middle, last := newCounter(config("middle")), newCounter(config("last"))
	info := newJob(1, 0, 0).Info
	var wires []wire.Info
	go1 := func() {
		for n := range firsts {
			info.Hops, info.Way = 0, nil
			require.NoError(t, firsts[n].enter(&info))
			require.NoError(t, middle.enter(&info))
			require.NoError(t, last.enter(&info))
		}
		for _, i := range wires {
			require.NoError(t, last.enter(&i))
		}
	}
	go1()
	require.Zero(t, testing.AllocsPerRun(100, go1))

	for n := range firsts {
		info.Hops, info.Way = 0, nil
		require.NoError(t, firsts[n].enter(&info))
		require.NoError(t, middle.enter(&info))
		read, err := wire.ParseInfo(info.AppendTo(nil))
		require.NoError(t, err)
		wires = append(wires, read)
	}
	require.Zero(t, testing.AllocsPerRun(100, go1))
}

func TestLocalRefusesJobsThatGoAround(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r refusals
		var logs logBook
		l := NewLocal(LocalConfig{
			Balancer: BalancerConfig{Stage: "work", MaxVisits: 2, Names: map[uint32]string{wire.StageHash("work"): "work"}},
			Refuse:   r.refuse,
			Logger:   slog.New(slog.NewTextHandler(&logs, nil)),
		})
		defer l.Close()
		s := l.Slot()
		around := func(job *loopback.Job) *loopback.Job {
			require.NoError(t, l.Submit(job, nil))
			got, ok := s.Next(nil)
			require.True(t, ok)
			return got
		}
		for range 2 {
			job := around(around(newJob(1, 0, 0)))
			var n told
			require.NoError(t, l.Submit(job, &n), "the stage takes it, to refuse it")
			require.EqualValues(t, 1, n.ok.Load())
			require.Same(t, job, r.jobs[len(r.jobs)-1])
		}
		tells := RefusalOf(r.errs[0])
		require.Equal(t, 508, tells.Status)
		require.Equal(t, "the job visited work 3 times, at most 2 are allowed; last stages: work, work, work", tells.Reason)
		require.Equal(t, 1, strings.Count(logs.String(), "\n"), "one line a second: %s", logs.String())
		for _, part := range []string{"stage=work", "request_id=" + r.jobs[0].Info.RequestID(), "visits=3", "limit=2"} {
			require.Contains(t, logs.String(), part)
		}
		time.Sleep(2 * logInterval) // the bubble's clock
		require.NoError(t, l.Submit(around(around(newJob(1, 0, 0))), nil))
		require.Contains(t, logs.String(), "suppressed=1")
	})
}

// A job that comes back waits behind those that are there.
func TestLocalQueuesAgainBehindOthers(t *testing.T) {
	l := NewLocal(LocalConfig{Balancer: BalancerConfig{Stage: "work"}})
	defer l.Close()
	s := l.Slot()
	for id := range uint32(3) {
		require.NoError(t, l.Submit(newJob(id, 0, 0), nil))
	}
	for turn := range uint32(9) {
		job, ok := s.Next(nil)
		require.True(t, ok)
		require.Equal(t, turn%3, job.Info.ID)
		require.Equal(t, turn/3+1, job.Info.Hops)
		require.NoError(t, l.Submit(job, nil))
	}
}

// TestProxyCountsWorkersOfOtherProjects: a libzmq worker that knows nothing of
// envelopes sends every job back to its own stage. The request's id, which is
// the client's, and its deadline, stay.
func TestProxyCountsWorkersOfOtherProjects(t *testing.T) {
	r := newRig(t, "ipc", func(c *Config) {
		c.Balancer.MaxVisits = 20
		c.Balancer.MaxHops = 22
		c.Balancer.Names = map[uint32]string{wire.StageHash("before"): "before"}
	})
	worker := zmqpeer.Start(t, "testdata/circle.py", r.DownstreamEndpoint(), r.UpstreamEndpoint())
	worker.Expect("ready")
	front, prime := r.front(5), r.front(0)

	info := butterflyInfo(1)
	info.SetField(wire.RequestID, []byte("the client's"))
	front.submit(info, "x")
	a := receive(t, r.answers)
	require.EqualValues(t, 508, a.Info.Code)
	require.Equal(t, "the job visited test 21 times, at most 20 are allowed; last stages: "+
		strings.Repeat("test, ", 7)+"test", string(a.Payload.Frames()[0]))
	require.Equal(t, "the client's", a.Info.RequestID())
	r.logs.expect(t, `request_id="the client's"`)

	prime.submit(&wire.Info{ID: 8, Time: 9, Version: 1, KeepAlive: true}, "GET / HTTP/1.1\r\n\r\n")
	r.expectAnswer(8, 508)

	var w wire.Way
	for info = butterflyInfo(2); info.Hops < 6; info.Hops++ {
		w.Enter(wire.StageHash("before"), false)
	}
	w.Enter(1, false)
	info.Hops, info.Way = 19, &w
	front.submit(info, "x")
	a = receive(t, r.answers)
	require.EqualValues(t, 508, a.Info.Code)
	require.Equal(t, "the job entered 23 stages, at most 22 are allowed; last stages: "+
		"before, before, before, #00000001, test, test, test, test", string(a.Payload.Frames()[0]))
}

// BenchmarkCount measures what counting costs a job: where it enters, behind
// another stage, in the first turns of a cycle, and in later ones.
func BenchmarkCount(b *testing.B) {
	before := newCounter(BalancerConfig{Stage: "before"})
	k := newCounter(BalancerConfig{Stage: "work", MaxHops: 1 << 30, MaxVisits: 1 << 30})
	for _, hops := range []uint32{0, 1, 5, 50} {
		b.Run(fmt.Sprintf("hop %d", hops+1), func(b *testing.B) {
			start := newJob(1, 0, 0).Info
			for start.Hops < hops {
				c := &k
				if start.Hops == 0 {
					c = &before
				}
				require.NoError(b, c.enter(&start))
			}
			b.ReportAllocs()
			for b.Loop() {
				info := start
				_ = k.enter(&info)
			}
		})
	}
}
