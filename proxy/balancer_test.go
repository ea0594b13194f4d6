package proxy

import (
	"slices"
	"testing"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// newJob returns a job of a butterfly front, one millisecond of Unix time per
// unit of deadline, none where that is 0.
func newJob(id uint32, hops uint32, deadline int64) *loopback.Job {
	job := &loopback.Job{Size: 1}
	job.Info.ID = id
	job.Info.Extend()
	job.Info.Instance, job.Info.Hops, job.Info.Deadline = 1, hops, deadline*1000
	return job
}

// model is the specification that a Balancer is compared with: plain slices.
type model struct {
	b      *Balancer
	max    int
	queue  []*loopback.Job
	idle   []*Slot
	holds  map[*Slot]*loopback.Job
	maybe  map[*Slot]*loopback.Job
	slots  []*Slot
	ended  map[*loopback.Job]int // how often a job left the Balancer
	taken  int
	nextID uint32
}

func (m *model) end(t *rapid.T, jobs ...*loopback.Job) {
	for _, j := range jobs {
		m.ended[j]++
		require.Equal(t, 1, m.ended[j], "a job ends once")
	}
}

// TestBalancerAgainstModel checks that random histories keep the promises: no
// slot with two jobs, first in first out, longest idle first, no job lost or
// doubled, bounds kept.
func TestBalancerAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(0, 5).Draw(t, "max")
		m := &model{
			b: NewBalancer(BalancerConfig{MaxQueue: limit}), max: limit,
			holds: map[*Slot]*loopback.Job{}, maybe: map[*Slot]*loopback.Job{},
			ended: map[*loopback.Job]int{},
		}
		t.Repeat(map[string]func(*rapid.T){
			"join":    m.join,
			"beat":    m.beat,
			"submit":  m.submit,
			"requeue": m.requeue,
			"cancel":  m.cancel,
			"expire":  m.expire,
			"leave":   m.leave,
			"":        m.check,
		})
		m.end(t, m.b.Clear()...)
	})
}

func (m *model) join(t *rapid.T) {
	kind := rapid.SampledFrom([]Kind{Prime, Butterfly}).Draw(t, "kind")
	m.slots = append(m.slots, m.b.Join(kind, nil))
}

func (m *model) pickSlot(t *rapid.T) *Slot {
	if len(m.slots) == 0 {
		t.Skip("no slot")
	}
	return rapid.SampledFrom(m.slots).Draw(t, "slot")
}

func (m *model) beat(t *rapid.T) {
	s := m.pickSlot(t)
	done := wire.Key{}
	held := m.holds[s]
	certain := held != nil && rapid.Bool().Draw(t, "done")
	if certain {
		done = held.Info.Key()
	}
	m.b.Idle(s, nil, done)
	if held != nil && s.kind == Butterfly && !certain {
		m.next(t)
		return
	}
	if j := m.maybe[s]; j != nil {
		m.end(t, j)
		delete(m.maybe, s)
	}
	if held != nil {
		delete(m.holds, s)
		if s.kind == Prime {
			m.maybe[s] = held
		} else {
			m.end(t, held)
		}
	}
	if !slices.Contains(m.idle, s) {
		m.idle = append(m.idle, s)
	}
	m.next(t)
}

func (m *model) submit(t *rapid.T) {
	for range rapid.IntRange(1, 3).Draw(t, "jobs") {
		m.submitOne(t)
	}
	m.next(t)
}

func (m *model) submitOne(t *rapid.T) {
	m.nextID++
	job := newJob(m.nextID%4, uint32(rapid.IntRange(0, 1).Draw(t, "hops")), rapid.Int64Range(0, 9).Draw(t, "deadline"))
	job.Info.Attempt = 2 // at the stage before
	full := job.Info.Hops == 0 && m.max > 0 && len(m.queue) >= m.max+len(m.idle)
	hops := job.Info.Hops
	err := m.b.Submit(job)
	if full {
		require.ErrorIs(t, err, ErrQueueFull)
		require.Equal(t, hops, job.Info.Hops)
		return
	}
	require.NoError(t, err)
	require.Equal(t, hops+1, job.Info.Hops)
	require.Zero(t, job.Info.Attempt)
	m.taken++
	m.queue = append(m.queue, job)
}

func (m *model) requeue(t *rapid.T) {
	m.nextID++
	job := newJob(m.nextID%4, 1, 0)
	m.b.Requeue(job)
	m.taken++
	m.queue = slices.Insert(m.queue, 0, job)
	m.next(t)
}

// next expects exactly the assignments that the order demands.
func (m *model) next(t *rapid.T) {
	for len(m.queue) > 0 && len(m.idle) > 0 {
		a, ok := m.b.Next(time.Time{})
		require.True(t, ok)
		require.Same(t, m.queue[0], a.Job)
		require.Same(t, m.idle[0], a.Slot)
		require.Nil(t, m.holds[a.Slot], "a slot has one job at most")
		m.holds[a.Slot] = a.Job
		m.queue, m.idle = m.queue[1:], m.idle[1:]
	}
	_, ok := m.b.Next(time.Time{})
	require.False(t, ok)
}

// take removes the jobs that match from the model's queue and ends them.
func (m *model) take(t *rapid.T, match func(*loopback.Job) bool) (taken []*loopback.Job) {
	m.queue = slices.DeleteFunc(m.queue, func(j *loopback.Job) bool {
		if match(j) {
			taken = append(taken, j)
		}
		return match(j)
	})
	m.end(t, taken...)
	return taken
}

func (m *model) cancel(t *rapid.T) {
	key := wire.Key{Instance: 1, ID: rapid.Uint32Range(0, 3).Draw(t, "id")}
	want := m.take(t, func(j *loopback.Job) bool { return j.Info.Key() == key })
	require.Equal(t, len(want), m.b.Cancel(key))
}

func (m *model) expire(t *rapid.T) {
	now := rapid.Int64Range(0, 9).Draw(t, "now")
	want := m.take(t, func(j *loopback.Job) bool { return j.Info.Deadline != 0 && j.Info.Deadline < now*1000 })
	require.Equal(t, want, m.b.Expire(time.UnixMilli(now)))
}

func (m *model) leave(t *rapid.T) {
	s := m.pickSlot(t)
	var want []*loopback.Job
	for _, held := range []map[*Slot]*loopback.Job{m.maybe, m.holds} {
		if j := held[s]; j != nil {
			want = append(want, j)
			delete(held, s)
		}
	}
	lost := m.b.Leave(s)
	require.Equal(t, want, lost)
	m.end(t, lost...)
	m.slots = slices.DeleteFunc(m.slots, func(o *Slot) bool { return o == s })
	m.idle = slices.DeleteFunc(m.idle, func(o *Slot) bool { return o == s })
}

func (m *model) check(t *rapid.T) {
	st := m.b.Status()
	require.EqualValues(t, len(m.queue), st.Queued)
	require.EqualValues(t, len(m.queue), m.b.Queued())
	require.EqualValues(t, len(m.queue), m.b.queue.bytes)
	require.EqualValues(t, len(m.idle), st.Idle)
	require.Equal(t, len(m.queue) == 0 && len(m.holds) == 0, m.b.Quiet())
	require.Equal(t, m.taken, len(m.ended)+len(m.queue)+len(m.holds)+len(m.maybe))
	require.LessOrEqual(t, len(m.b.queue.index), len(m.queue))
}

// TestBalancerDoesNotAllocate covers the hand-over to an idle slot, the queue,
// the index by key, and the chooser.
func TestBalancerDoesNotAllocate(t *testing.T) {
	first := func([]Candidate, *loopback.Job) int { return 0 }
	b := NewBalancer(BalancerConfig{MaxQueue: 100, Chooser: first})
	slots := []*Slot{b.Join(Butterfly, nil), b.Join(Prime, nil)}
	jobs := make([]*loopback.Job, 16)
	for i := range jobs {
		jobs[i] = newJob(uint32(i), 0, 1)
	}
	round := func() {
		for _, j := range jobs {
			j.Info.Hops = 0
			_ = b.Submit(j)
		}
		for b.Queued() > 0 {
			for _, s := range slots {
				b.Idle(s, nil, s.held.key)
			}
			for _, ok := b.Next(time.UnixMicro(1)); ok; _, ok = b.Next(time.UnixMicro(1)) {
			}
		}
	}
	round()
	require.Zero(t, testing.AllocsPerRun(1000, round))
}

// TestQueueGivesMemoryBack: a peak's entries are not kept for ever.
func TestQueueGivesMemoryBack(t *testing.T) {
	b := NewBalancer(BalancerConfig{})
	for i := range uint32(5 * maxSpare) {
		require.NoError(t, b.Submit(newJob(i, 0, 0)))
	}
	require.Len(t, b.Clear(), 5*maxSpare)
	require.Equal(t, maxSpare, b.queue.spares)
	require.Empty(t, b.queue.index)
}

// BenchmarkBalancer measures one job through a stage whose slot is idle, and
// through one where it has to wait and is indexed.
func BenchmarkBalancer(b *testing.B) {
	for _, waiting := range []int{0, 1, 10_000} {
		name := map[int]string{0: "idle", 1: "queued", 10_000: "queued10k"}[waiting]
		b.Run(name, func(b *testing.B) {
			bal := NewBalancer(BalancerConfig{})
			slot := bal.Join(Butterfly, nil)
			jobs := make([]*loopback.Job, waiting+1)
			for i := range jobs {
				jobs[i] = newJob(uint32(i), 1, 0)
			}
			for _, j := range jobs[:waiting] {
				_ = bal.Submit(j)
			}
			bal.Next(time.Time{})
			job := jobs[waiting]
			b.ReportAllocs()
			for b.Loop() {
				_ = bal.Submit(job)
				bal.Next(time.Time{})
				bal.Idle(slot, nil, slot.held.key)
				if a, ok := bal.Next(time.Time{}); ok {
					job = a.Job
				}
			}
		})
	}
}
