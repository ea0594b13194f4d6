package proxy

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// told is a Notifier that counts.
type told struct{ ok, failed atomic.Int32 }

func (n *told) Sent(err error) {
	if err != nil {
		n.failed.Add(1)
		return
	}
	n.ok.Add(1)
}

// refusals collects what a Local refuses.
type refusals struct {
	jobs []*loopback.Job
	errs []error
}

func (r *refusals) refuse(job *loopback.Job, err error) {
	r.jobs, r.errs = append(r.jobs, job), append(r.errs, err)
}

// take calls Next in a goroutine, inside a synctest bubble.
func take(s loopback.Slot) <-chan *loopback.Job {
	c := make(chan *loopback.Job, 1)
	go func() {
		defer close(c)
		if job, ok := s.Next(nil); ok {
			c <- job
		}
	}()
	synctest.Wait()
	return c
}

func TestLocalHandsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLocal(LocalConfig{})
		defer l.Close()
		s := l.Slot()
		got := take(s)
		var n told
		job := newJob(1, 0, 0)
		require.NoError(t, l.Submit(job, &n))
		require.EqualValues(t, 1, n.ok.Load(), "told before Submit returns")
		require.Same(t, job, <-got)

		queued := newJob(2, 0, 0)
		require.NoError(t, l.Submit(queued, nil))
		require.EqualValues(t, 1, l.Status().Queued)
		next, ok := s.Next(nil)
		require.True(t, ok)
		require.Same(t, queued, next)
		require.EqualValues(t, 1, next.Info.Hops)
	})
}

func TestLocalRefusesWhenFull(t *testing.T) {
	l := NewLocal(LocalConfig{Balancer: BalancerConfig{MaxQueue: 1}})
	defer l.Close()
	require.NoError(t, l.Submit(newJob(1, 0, 0), nil))
	var n told
	err := l.Submit(newJob(2, 0, 0), &n)
	var full *QueueFullError
	require.ErrorAs(t, err, &full)
	require.Equal(t, 1, full.Jobs)
	require.Zero(t, n.ok.Load()+n.failed.Load(), "on error the Notifier is not told")
	require.NoError(t, l.Submit(newJob(3, 1, 0), nil), "between stages nothing is refused")
}

func TestLocalNeverGivesOutLateJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r refusals
		l := NewLocal(LocalConfig{Refuse: r.refuse})
		defer l.Close()
		late := newJob(1, 0, time.Now().Add(time.Second).UnixMilli())
		good := newJob(2, 0, 0)
		require.NoError(t, l.Submit(late, nil))
		require.NoError(t, l.Submit(good, nil))
		time.Sleep(2 * time.Second) // the bubble's clock
		job, ok := l.Slot().Next(nil)
		require.True(t, ok)
		require.Same(t, good, job)
		require.Equal(t, []*loopback.Job{late}, r.jobs)
		require.ErrorIs(t, r.errs[0], ErrExpired)
	})
}

func TestLocalInterrupt(t *testing.T) {
	l := NewLocal(LocalConfig{})
	defer l.Close()
	a, b := newJob(1, 0, 0), newJob(2, 0, 0)
	require.NoError(t, l.Submit(a, nil))
	require.NoError(t, l.Submit(b, nil))
	l.Interrupt(a.Info.Key())
	job, ok := l.Slot().Next(nil)
	require.True(t, ok)
	require.Same(t, b, job)
}

func TestLocalChooser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		last := func(idle []Candidate, _ *loopback.Job) int { return len(idle) - 1 }
		l := NewLocal(LocalConfig{Balancer: BalancerConfig{Chooser: last}})
		first, second := take(l.Slot()), take(l.Slot())
		require.NoError(t, l.Submit(newJob(1, 0, 0), nil))
		require.NotNil(t, <-second)
		l.Close()
		require.Nil(t, <-first)
	})
}

func TestLocalLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLocal(LocalConfig{})
		waits, works := l.Slot(), l.Slot()
		got := take(waits)
		waits.Leave()
		waits.Leave()
		require.Nil(t, <-got, "a Next that blocks returns")
		_, ok := waits.Next(nil)
		require.False(t, ok)

		got = take(works)
		job := newJob(1, 0, 0)
		require.NoError(t, l.Submit(job, nil))
		works.Leave()
		require.Same(t, job, <-got, "a job that was given is taken")
		require.Zero(t, l.Status().Workers)
		l.Close()
	})
}

func TestLocalShutdownDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLocal(LocalConfig{})
		works, waits := l.Slot(), l.Slot()
		first := newJob(1, 0, 0)
		require.NoError(t, l.Submit(first, nil))
		_, ok := works.Next(nil)
		require.True(t, ok)
		end := take(waits)

		done := make(chan error, 1)
		go func() { done <- l.Shutdown(t.Context()) }()
		synctest.Wait()
		require.ErrorIs(t, l.Submit(newJob(2, 0, 0), nil), ErrClosed, "nothing new from a front")
		require.NoError(t, l.Submit(newJob(3, 1, 0), nil), "what is on its way goes on")
		require.NotNil(t, <-end)
		waits.Leave()
		require.Empty(t, done)
		_, ok = works.Next(nil)
		require.False(t, ok, "nothing is left")
		require.NoError(t, <-done)
	})
}

func TestLocalShutdownGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r refusals
		l := NewLocal(LocalConfig{Refuse: r.refuse})
		require.NoError(t, l.Submit(newJob(1, 0, 0), nil))
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("enough"))
		defer cancel()
		require.EqualError(t, l.Shutdown(ctx), "enough")
		require.Len(t, r.jobs, 1)
		require.ErrorIs(t, r.errs[0], ErrClosed)
		_, ok := l.Slot().Next(nil)
		require.False(t, ok)
		require.ErrorIs(t, l.Submit(newJob(2, 1, 0), nil), ErrClosed)
	})
}

func TestLocalRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLocal(LocalConfig{})
		defer l.Close()
		require.Zero(t, l.Status().Rate)
		s := l.Slot()
		for i := range uint32(11) {
			require.NoError(t, l.Submit(newJob(i, 0, 0), nil))
			_, ok := s.Next(nil)
			require.True(t, ok)
		}
		time.Sleep(2 * time.Second) // the bubble's clock
		require.EqualValues(t, 5, l.Status().Rate)
	})
}

// TestLocalUnderLoad: many submitters and slots, every job is given out once.
func TestLocalUnderLoad(t *testing.T) {
	const submitters, each, slots = 8, 2000, 4
	l := NewLocal(LocalConfig{})
	var seen [submitters * each]atomic.Int32
	var workers, senders sync.WaitGroup
	for range slots {
		workers.Go(func() {
			s := l.Slot()
			defer s.Leave()
			for {
				job, ok := s.Next(nil)
				if !ok {
					return
				}
				seen[job.Info.ID].Add(1)
			}
		})
	}
	for n := range submitters {
		senders.Go(func() {
			for i := range each {
				if err := l.Submit(newJob(uint32(n*each+i), 1, 0), nil); err != nil {
					t.Error(err)
				}
				if i%64 == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	senders.Wait()
	require.NoError(t, l.Shutdown(t.Context()))
	workers.Wait()
	for i := range seen {
		require.EqualValues(t, 1, seen[i].Load())
	}
}

func TestLocalDoesNotAllocate(t *testing.T) {
	l := NewLocal(LocalConfig{})
	defer l.Close()
	s := l.Slot()
	job := newJob(1, 0, 0)
	var n told
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		job.Info.Hops = 0
		_ = l.Submit(job, &n)
		job, _ = s.Next(nil)
	}))
}

// BenchmarkLocal measures a job from Submit to the return of Next: on one
// goroutine, and with goroutines that submit jobs and await them from slots of
// their own, switches of goroutines included.
func BenchmarkLocal(b *testing.B) {
	b.Run("one goroutine", func(b *testing.B) {
		l := NewLocal(LocalConfig{})
		defer l.Close()
		s := l.Slot()
		job := newJob(1, 0, 0)
		b.ReportAllocs()
		for b.Loop() {
			_ = l.Submit(job, nil)
			job, _ = s.Next(nil)
		}
	})
	b.Run("contended", func(b *testing.B) {
		l := NewLocal(LocalConfig{})
		defer l.Close()
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			s := l.Slot()
			defer s.Leave()
			job := newJob(1, 0, 0)
			for pb.Next() {
				_ = l.Submit(job, nil)
				job, _ = s.Next(nil)
			}
		})
	})
	b.Run("wakes a slot", func(b *testing.B) { benchmarkWake(b, 1) })
	b.Run("wakes 8 slots", func(b *testing.B) { benchmarkWake(b, 8) })
}

// benchmarkWake bounces a job between submitters and slots that wait.
func benchmarkWake(b *testing.B, slots int) {
	l := NewLocal(LocalConfig{})
	defer l.Close()
	back := make(chan *loopback.Job, slots)
	for i := range slots {
		back <- newJob(uint32(i), 1, 0)
		go func() {
			s := l.Slot()
			for {
				job, ok := s.Next(nil)
				if !ok {
					return
				}
				back <- job
			}
		}()
	}
	b.ReportAllocs()
	for b.Loop() {
		_ = l.Submit(<-back, nil)
	}
}

// Fronts ask before each request, without the stage's lock.
func TestLocalTellsWhetherItIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLocal(LocalConfig{})
		is := func(slots int, backlogged bool) {
			t.Helper()
			n, b := l.Busy()
			require.Equal(t, slots, n)
			require.Equal(t, backlogged, b)
		}
		require.NoError(t, l.Submit(newJob(1, 0, 0), nil))
		is(0, false)
		s := l.Slot()
		<-take(s)
		is(1, false)
		require.NoError(t, l.Submit(newJob(2, 0, 0), nil))
		require.NoError(t, l.Submit(newJob(3, 0, 0), nil))
		is(1, true)
		l.Interrupt(newJob(3, 0, 0).Info.Key())
		is(1, true)
		<-take(s)
		is(1, false)
		require.NoError(t, l.Submit(newJob(4, 0, 0), nil))
		is(1, true)
		l.Interrupt(newJob(4, 0, 0).Info.Key())
		is(1, false)
		idle := take(s)
		is(1, false)
		require.NoError(t, l.Submit(newJob(5, 0, 0), nil))
		<-idle
		is(1, false)
		require.NoError(t, l.Submit(newJob(6, 0, 0), nil))
		is(1, true)
		l.Close()
		is(1, false)
	})
}
