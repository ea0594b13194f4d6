package proxy

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// partJob returns a part, to be joined at the stage sum.
func partJob(id uint32, p wire.Piece) *loopback.Job {
	job := newJob(id, 2, 0)
	p.Join = wire.StageHash("sum")
	job.Info.SetPiece(&p)
	job.Info.Flags |= wire.Scattered
	job.Payload = wire.Frames{{byte('a' + p.Index)}}
	return job
}

// joinedParts returns the states of a joined job's parts.
func joinedParts(t *testing.T, job *loopback.Job) []wire.PartState {
	t.Helper()
	require.IsType(t, wire.Joined{}, job.Payload)
	var states []wire.PartState
	for i, p := range job.Payload.(wire.Joined) {
		require.EqualValues(t, i, p.Index)
		states = append(states, p.State)
	}
	return states
}

func TestLocalJoinsParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLocal(LocalConfig{Balancer: BalancerConfig{Stage: "sum"}})
		defer l.Close()
		got := take(l.Slot())
		var n told
		for i := range uint32(3) {
			require.Empty(t, got)
			require.EqualValues(t, i, l.Status().Parts)
			require.NoError(t, l.Submit(partJob(1, wire.Piece{Index: 2 - i, Total: 3}), &n))
		}
		require.EqualValues(t, 3, n.ok.Load(), "each is told")
		job := <-got
		require.Equal(t, []wire.PartState{0, 0, 0}, joinedParts(t, job))
		require.EqualValues(t, 3, job.Info.Hops, "the stage is entered once")
		require.Zero(t, l.Status().Parts)
	})
}

// A group's time passes without anybody calling.
func TestLocalJoinsWhatCameInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r refusals
		l := NewLocal(LocalConfig{Balancer: BalancerConfig{Stage: "sum"}, Refuse: r.refuse})
		defer l.Close()
		got := take(l.Slot())
		began := time.Now()
		long := wire.Piece{Total: 2, Timeout: 500}
		require.NoError(t, l.Submit(partJob(1, long), nil))
		best := wire.Piece{Index: 1, Total: 3, Policy: wire.BestEffort, Timeout: 200}
		require.NoError(t, l.Submit(partJob(2, best), nil))
		job := <-got
		require.Equal(t, []wire.PartState{wire.PartMissing, wire.PartDone, wire.PartMissing}, joinedParts(t, job))
		require.InDelta(t, 200, time.Since(began).Milliseconds(), 1)
		require.True(t, job.Info.Flags.Has(wire.Scattered), "others are at work still")
		synctest.Wait()
		time.Sleep(time.Second) // the bubble's clock
		synctest.Wait()
		require.Len(t, r.errs, 1)
		require.ErrorIs(t, r.errs[0], ErrMissing)
		tells := RefusalOf(r.errs[0])
		require.Equal(t, 504, tells.Status)
		require.Equal(t, "parts of the job did not come in time", tells.Reason)
		require.EqualValues(t, 1, r.jobs[0].Info.ID)
		require.Zero(t, l.Status().Parts)
	})
}

func TestLocalRefusesPartsThatFail(t *testing.T) {
	var r refusals
	l := NewLocal(LocalConfig{Balancer: BalancerConfig{Stage: "sum"}, Refuse: r.refuse})
	defer l.Close()
	failed := partJob(1, wire.Piece{Total: 1, Policy: wire.Any, Failed: true})
	failed.Info.Code = 422
	failed.Payload = wire.Frames{[]byte("no number (request " + failed.Info.RequestID() + ")")}
	var n told
	require.NoError(t, l.Submit(failed, &n))
	require.EqualValues(t, 1, n.ok.Load())
	require.Len(t, r.errs, 1)
	tells := RefusalOf(r.errs[0])
	require.Equal(t, 422, tells.Status)
	require.Equal(t, "no number", tells.Reason, "the request's id is added by who tells the client")
	require.True(t, r.jobs[0].Info.Flags.Has(wire.Scattered), "the answer stops the others")
}

func TestLocalForgetsPartsNobodyWaitsFor(t *testing.T) {
	l := NewLocal(LocalConfig{Balancer: BalancerConfig{Stage: "sum"}})
	defer l.Close()
	first := partJob(1, wire.Piece{Total: 2})
	require.NoError(t, l.Submit(first, nil))
	l.Interrupt(first.Info.Key())
	require.Zero(t, l.Status().Parts)
	require.NoError(t, l.Submit(partJob(1, wire.Piece{Index: 1, Total: 2}), nil))
	require.Zero(t, l.Status().Parts+l.Status().Queued, "a late one is ignored")
}

// A stage that drains waits for the parts that are on their way.
func TestLocalShutdownWaitsForParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLocal(LocalConfig{Balancer: BalancerConfig{Stage: "sum"}})
		s := l.Slot()
		require.NoError(t, l.Submit(partJob(1, wire.Piece{Total: 2}), nil))
		done := make(chan error, 1)
		go func() { done <- l.Shutdown(t.Context()) }()
		synctest.Wait()
		require.Empty(t, done)
		require.NoError(t, l.Submit(partJob(1, wire.Piece{Index: 1, Total: 2}), nil))
		job, ok := s.Next(nil)
		require.True(t, ok)
		require.Equal(t, []wire.PartState{0, 0}, joinedParts(t, job))
		_, ok = s.Next(nil)
		require.False(t, ok)
		require.NoError(t, <-done)
	})
}

func TestLocalCloseRefusesGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r refusals
		l := NewLocal(LocalConfig{Balancer: BalancerConfig{Stage: "sum"}, Refuse: r.refuse})
		require.NoError(t, l.Submit(partJob(1, wire.Piece{Total: 3, Timeout: 100}), nil))
		require.NoError(t, l.Submit(partJob(1, wire.Piece{Index: 1, Total: 3, Timeout: 100}), nil))
		l.Close()
		require.Len(t, r.errs, 1, "one answer for one request")
		require.ErrorIs(t, r.errs[0], ErrClosed)
		require.Nil(t, r.jobs[0].Info.Piece())
		time.Sleep(time.Second) // the bubble's clock: the timer is off
		require.Len(t, r.errs, 1)
	})
}

// Of two slots with a job of width one, the part that was parked goes to the
// slot that waits, not to the one that asks.
func TestLocalGivesParkedPartsToWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLocal(LocalConfig{Balancer: BalancerConfig{Stage: "work"}})
		asks, waits, leaves := l.Slot(), l.Slot(), l.Slot()
		for i := range uint32(4) {
			require.NoError(t, l.Submit(partJob(1, wire.Piece{Index: i, Total: 4, Width: 1}), nil))
		}
		require.EqualValues(t, 4, l.Status().Queued)
		index := func(job *loopback.Job) uint32 { return job.Info.Piece().Index }
		job, ok := asks.Next(nil)
		require.True(t, ok)
		require.Zero(t, index(job))
		first, second := take(waits), take(leaves)
		require.Empty(t, first)
		third := take(asks)
		require.EqualValues(t, 1, index(<-first))
		waits.Leave() // and the part with it: the next may begin
		require.EqualValues(t, 2, index(<-second))
		leaves.Leave()
		require.EqualValues(t, 3, index(<-third))
		l.Close()
	})
}

// sum runs a proxy that joins parts.
func sum(t *testing.T, change func(*Config)) *rig {
	return newRig(t, "inproc", func(c *Config) {
		c.Stage = "sum"
		if change != nil {
			change(c)
		}
	})
}

// send submits a part over the wire.
func (p *peer) part(id uint32, piece wire.Piece, payload ...string) {
	info := butterflyInfo(id)
	info.Hops, info.Flags = 2, wire.Scattered
	piece.Join = wire.StageHash("sum")
	info.SetPiece(&piece)
	if piece.Failed {
		info.Code = 409
	}
	p.submit(info, payload...)
}

func TestProxyJoinsParts(t *testing.T) {
	r := sum(t, nil)
	one, other, worker := r.front(5), r.front(6), r.worker(7)
	worker.beat(0, wire.Key{})
	one.part(1, wire.Piece{Index: 1, Total: 2}, "b", "c")
	r.eventually(func(s wire.Status) bool { return s.Parts == 1 })
	other.part(1, wire.Piece{Index: 0, Total: 2}, "a")
	info, frames := worker.job()
	require.Nil(t, info.Piece())
	require.False(t, info.Flags.Has(wire.Scattered))
	require.EqualValues(t, 3, info.Hops)
	joined, err := wire.ParseJoined(frames)
	require.NoError(t, err)
	require.Equal(t, wire.Joined{
		{Index: 0, Payload: wire.Frames{[]byte("a")}},
		{Index: 1, Payload: wire.Frames{[]byte("b"), []byte("c")}},
	}, joined)
	require.Zero(t, r.Status().Parts)
}

// A joined job whose worker is lost before it has left goes to another, in its
// order.
func TestProxyGivesJoinedJobsAgain(t *testing.T) {
	var stuck atomic.Bool
	r := sum(t, func(c *Config) { c.Transport.WrapConn = stickFirst(&stuck) })
	front, sick := r.front(5), r.worker(7)
	sick.beat(0, wire.Key{})
	r.eventually(func(s wire.Status) bool { return s.Idle == 1 })
	stuck.Store(true)
	front.part(1, wire.Piece{Total: 1}, "a")
	front.submit(butterflyInfo(2), "behind")
	r.eventually(func(s wire.Status) bool { return s.Idle == 0 && s.Queued == 1 })
	sick.leave()
	r.eventually(func(s wire.Status) bool { return s.Queued == 2 })
	well := r.worker(8)
	for id := range uint32(2) {
		well.beat(uint16(id), wire.Key{})
		info, frames := well.job()
		require.Equal(t, 1+id, info.ID)
		if id == 0 {
			_, err := wire.ParseJoined(frames)
			require.NoError(t, err)
		}
	}
	require.Empty(t, r.answers)
}

func TestProxyJoinsAtTheTimeout(t *testing.T) {
	r := sum(t, nil)
	front, worker := r.front(5), r.worker(7)
	worker.beat(0, wire.Key{})
	front.part(1, wire.Piece{Total: 2, Policy: wire.BestEffort, Timeout: 1, Opening: true}, "")
	front.part(1, wire.Piece{Index: 1, Total: 2, Policy: wire.BestEffort, Timeout: 1, Failed: true}, "no number")
	info, frames := worker.job()
	require.True(t, info.Flags.Has(wire.Scattered))
	joined, err := wire.ParseJoined(frames)
	require.NoError(t, err)
	require.Equal(t, wire.PartMissing, joined[0].State)
	require.EqualValues(t, 409, joined[1].Code)
	require.Equal(t, wire.Frames{[]byte("no number")}, joined[1].Payload)

	front.part(2, wire.Piece{Total: 2, Timeout: 1}, "a")
	r.expectAnswer(2, 504)
	front.part(3, wire.Piece{Total: 1, Failed: true}, "taken")
	a := receive(t, r.answers)
	require.EqualValues(t, 409, a.Info.Code)
	require.Equal(t, "taken", string(a.Payload.Frames()[0]))
	require.True(t, a.Info.Flags.Has(wire.Scattered))
}

func TestProxyRefusesBadParts(t *testing.T) {
	r := sum(t, func(c *Config) { c.Transport.Limits = transport.Limits{MaxFrame: 10_000} })
	front := r.front(5)
	front.part(1, wire.Piece{Index: 2, Total: 2}, "a")
	r.expectAnswer(1, 400)
	front.part(2, wire.Piece{Total: 2}, "a")
	front.part(2, wire.Piece{Index: 1, Total: 3}, "a")
	r.expectAnswer(2, 400)
	half := string(bytes.Repeat([]byte("x"), 5000))
	front.part(3, wire.Piece{Total: 2}, half)
	front.part(3, wire.Piece{Index: 1, Total: 2}, half)
	r.expectAnswer(3, 500)
}

func TestProxyForgetsGroups(t *testing.T) {
	r := sum(t, nil)
	front := r.front(5)
	front.part(1, wire.Piece{Total: 2}, "a")
	late := butterflyInfo(2)
	late.Hops = 2
	late.SetDeadline(time.Now().Add(-wire.ClockSkew))
	late.SetPiece(&wire.Piece{Total: 2, Join: wire.StageHash("sum")})
	front.submit(late, "a")
	r.expectAnswer(2, 504)
	r.eventually(func(s wire.Status) bool { return s.Parts == 1 })
	r.Interrupt(butterflyInfo(1).Key())
	require.Zero(t, r.Status().Parts)

	front.part(3, wire.Piece{Total: 2}, "a")
	r.eventually(func(s wire.Status) bool { return s.Parts == 1 })
	ended := make(chan error, 1)
	go func() { ended <- r.Shutdown(context.Background()) }()
	r.eventually(func(s wire.Status) bool { return s.Draining })
	front.part(4, wire.Piece{Total: 1, Failed: true}, "x")
	r.expectAnswer(4, 409)
	require.Empty(t, ended, "it waits for parts")
	r.cancel()
	r.expectAnswer(3, 503)
	require.NoError(t, receive(t, ended))
}

// A worker is lost with parts: the client is told, unless others may make up.
func TestProxyLosesParts(t *testing.T) {
	r := newRig(t, "inproc", nil)
	front, worker := r.front(5), r.worker(7)
	silent := []wire.Piece{
		{Total: 2, Policy: wire.Any},
		{Total: 2, Policy: wire.BestEffort, Timeout: 50},
	}
	told := []wire.Piece{{Total: 2}, {Total: 2, Timeout: 50}, {Total: 2, Policy: wire.BestEffort}}
	for i, p := range append(silent, told...) {
		worker.beat(uint16(i), wire.Key{})
		front.part(uint32(i), p, "x")
		worker.job()
	}
	worker.leave()
	for i := range told {
		r.expectAnswer(uint32(len(silent)+i), 502)
	}
	require.Empty(t, r.answers)
	r.logs.expect(t, "jobs=5")
}
