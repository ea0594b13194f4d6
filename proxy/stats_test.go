package proxy

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/stats"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// observed is a distribution of so many durations.
func observed(all ...time.Duration) (d stats.Distribution) {
	for _, took := range all {
		d.Observe(took)
	}
	return d
}

// A job's wait is from when it could not be given out until its first slot. One
// that finds a slot has not waited; one that is given out again has had its wait.
func TestBalancerMeasuresTheWait(t *testing.T) {
	b := NewBalancer(BalancerConfig{Repeat: RepeatAlways})
	at := func(ms int64) time.Time { return time.UnixMilli(1_000_000 + ms) }
	next := func(now time.Time) bool {
		_, ok := b.Next(now)
		return ok
	}
	s := b.Join(Butterfly, nil)
	b.Idle(s, nil, s.held.key)
	require.NoError(t, b.Submit(newJob(1, 0, 0)))
	require.True(t, next(at(0)))
	require.NoError(t, b.Submit(newJob(2, 0, 0)))
	require.False(t, next(at(10)))
	require.NoError(t, b.Submit(newJob(3, 0, 0)))
	require.False(t, next(at(20)))
	want := stats.Distribution{}
	want.Observe(0)
	require.Equal(t, want, b.stats().Waited)

	b.Idle(s, nil, s.held.key)
	require.True(t, next(at(50)), "the second, after 40 ms")
	lost := b.Leave(s)
	require.Len(t, lost, 1)
	require.True(t, b.Retry(lost[0]))
	b.Requeue(lost[0])
	require.False(t, next(at(60)))
	s = b.Join(Butterfly, nil)
	b.Idle(s, nil, s.held.key)
	require.True(t, next(at(500)), "the second again")
	b.Idle(s, nil, s.held.key)
	require.True(t, next(at(1020)), "the third, after a second")
	got := b.stats()
	require.Equal(t, observed(0, 40*time.Millisecond, time.Second), got.Waited)
	got.Waited = stats.Distribution{}
	require.Equal(t, Stats{Slots: 1, Busy: 1, Entered: 3, Done: 2, Repeated: 1}, got)
}

// Inside one process jobs that wait are timed, too, though no clock is read for
// those that do not.
func TestLocalMeasuresTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLocal(LocalConfig{Balancer: BalancerConfig{Stage: "s", MaxQueue: 1}})
		s := l.Slot()
		first := take(s)
		require.NoError(t, l.Submit(newJob(1, 0, 0), nil))
		<-first
		require.NoError(t, l.Submit(newJob(2, 0, 0), nil))
		require.ErrorIs(t, l.Submit(newJob(3, 0, 0), nil), ErrQueueFull)
		time.Sleep(3 * time.Second)
		got := l.Stats()
		assert.Equal(t, 1, got.Queued)
		assert.Equal(t, 1, got.Busy)
		<-take(s)
		third := take(s)
		l.Close()
		<-third
		require.ErrorIs(t, l.Submit(newJob(4, 0, 0), nil), ErrClosed)
		got = l.Stats()
		assert.Equal(t, observed(0, 3*time.Second), got.Waited)
		assert.EqualValues(t, 2, got.Entered)
		assert.EqualValues(t, 2, got.Done)
		assert.Equal(t, 1, got.Workers)
		assert.Equal(t, map[string]uint64{"queue_full": 1, "closed": 1}, byReason(got))
	})
}

// byReason returns the refusals that there were.
func byReason(s Stats) map[string]uint64 {
	m := make(map[string]uint64)
	for i, name := range Reasons() {
		if s.Refused[i] > 0 {
			m[name] = s.Refused[i]
		}
	}
	return m
}

// Every error by which clients are told of a stage has a reason of its own.
func TestReasonsAreThoseOfTheErrors(t *testing.T) {
	var all tally
	var want int
	for _, r := range refusalTable {
		all.note(fmt.Errorf("wrapped: %w", r.err))
		want++
	}
	all.note(&LoopError{})
	all.note(&PartError{})
	all.note(errors.New("of tomorrow"))
	counts := byReason(Stats{Refused: all.read()})
	assert.Len(t, counts, want+3, "%v", counts)
	for _, n := range counts {
		assert.EqualValues(t, 1, n, "%v", counts)
	}
}

// A proxy counts what its workers' loss costs.
func TestProxyCountsRefusals(t *testing.T) {
	r := newRig(t, "inproc", nil)
	up, down := r.Sockets()
	assert.Zero(t, up)
	assert.Zero(t, down)
	info := newJob(1, 0, time.Now().Add(-time.Hour).UnixMicro()).Info
	r.refuse(ErrExpired, &loopback.Job{Info: info})
	r.refuseAll([]Refused{{&loopback.Job{Info: info}, ErrWorkerLost}, {&loopback.Job{Info: info}, ErrWorkerLost}})
	assert.Equal(t, map[string]uint64{"expired": 1, "worker_lost": 2}, byReason(r.Stats()))
}
