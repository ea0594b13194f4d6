package proxy

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// scatterModel is one stage at which parts are worked on, and one where they are
// joined, under random events: parts end, fail, come twice, are lost, given
// again, interrupted, or late.
type scatterModel struct {
	work   *Balancer
	join   *Gatherer
	slots  []*Slot
	holds  map[*Slot]*loopback.Job
	groups map[groupID]*modelGroup
	nextID uint32
	now    int64 // ms
}

type modelGroup struct {
	piece     wire.Piece
	deadline  int64          // ms
	out       map[uint32]int // parts by index: how often each is queued, parked or held
	given     int            // parts given again: they may exceed the width
	delivered map[uint32]bool
	over      bool // interrupted
	ends      int  // joined or refused by the Gatherer
}

func TestScatteredJobsAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &scatterModel{
			work: NewBalancer(BalancerConfig{}), join: NewGatherer(GathererConfig{Stage: "sum"}),
			holds: map[*Slot]*loopback.Job{}, groups: map[groupID]*modelGroup{}, now: 1000,
		}
		for range rapid.IntRange(1, 4).Draw(t, "slots") {
			s := m.work.Join(Butterfly, nil)
			m.slots = append(m.slots, s)
			m.work.Idle(s, nil, wire.Key{})
		}
		t.Repeat(map[string]func(*rapid.T){
			"scatter":   m.scatter,
			"done":      m.done,
			"twice":     m.twice,
			"lost":      m.lost,
			"interrupt": m.interrupt,
			"time":      m.time,
			"":          m.check,
		})
		m.drain(t)
	})
}

// scatter submits the parts of a new request.
func (m *scatterModel) scatter(t *rapid.T) {
	m.nextID++
	total := rapid.Uint32Range(1, 12).Draw(t, "total")
	p := wire.Piece{
		Total: total, Group: 1, Join: wire.StageHash("sum"),
		Width:   rapid.Uint32Range(0, total+1).Draw(t, "width"),
		Timeout: rapid.SampledFrom([]uint32{0, 5}).Draw(t, "timeout"),
		Policy:  rapid.SampledFrom([]wire.Policy{wire.All, wire.Any, wire.BestEffort}).Draw(t, "policy"),
	}
	g := &modelGroup{piece: p, deadline: m.now + 10, out: map[uint32]int{}, delivered: map[uint32]bool{}}
	for i := range total {
		job := m.part(m.nextID, i, g)
		require.NoError(t, m.work.Submit(job))
		g.out[i]++
	}
	m.groups[groupID{wire.Key{Instance: 1, ID: m.nextID}, 1}] = g
	m.next(t)
}

func (m *scatterModel) part(id, index uint32, g *modelGroup) *loopback.Job {
	job := newJob(id, 2, g.deadline)
	p := g.piece
	p.Index = index
	job.Info.SetPiece(&p)
	job.Payload = wire.Frames{{byte(index)}}
	return job
}

func (m *scatterModel) of(job *loopback.Job) *modelGroup {
	return m.groups[groupID{job.Info.Key(), job.Info.Piece().Group}]
}

// next gives jobs to slots, until there is nothing more.
func (m *scatterModel) next(t *rapid.T) {
	for a, ok := m.work.Next(time.UnixMilli(m.now)); ok; a, ok = m.work.Next(time.UnixMilli(m.now)) {
		if a.Slot == nil {
			m.of(a.Job).out[a.Job.Info.Piece().Index]--
			continue
		}
		require.Nil(t, m.holds[a.Slot])
		m.holds[a.Slot] = a.Job
	}
}

// busy returns a slot that holds a part.
func (m *scatterModel) busy(t *rapid.T) *Slot {
	var busy []*Slot
	for _, s := range m.slots {
		if m.holds[s] != nil {
			busy = append(busy, s)
		}
	}
	if len(busy) == 0 {
		t.Skip("nobody works")
	}
	return rapid.SampledFrom(busy).Draw(t, "slot")
}

// done ends a part, well or badly.
func (m *scatterModel) done(t *rapid.T) {
	s := m.busy(t)
	job := m.holds[s]
	delete(m.holds, s)
	m.of(job).out[job.Info.Piece().Index]--
	m.deliver(t, job, rapid.Bool().Draw(t, "fails"))
	m.work.Idle(s, nil, job.Info.Key())
	m.next(t)
}

// deliver sends a part to the join, and compares what that makes of it.
func (m *scatterModel) deliver(t *rapid.T, job *loopback.Job, fails bool) {
	g := m.of(job)
	p := *job.Info.Piece()
	p.Failed = fails
	out := &loopback.Job{Info: job.Info, Payload: job.Payload}
	out.Info.SetPiece(&p)
	g.delivered[p.Index] = true
	joined, err := m.join.Take(out, time.UnixMilli(m.now))
	if joined == nil && err == nil {
		return
	}
	m.ended(t, g)
	if err != nil {
		require.ErrorIs(t, err, ErrPart)
		require.NotEqual(t, wire.BestEffort, p.Policy)
		return
	}
	parts := joined.Payload.(wire.Joined)
	require.Nil(t, joined.Info.Piece())
	require.Equal(t, len(g.delivered) < int(p.Total), joined.Info.Flags.Has(wire.Scattered))
	require.True(t, slices.IsSortedFunc(parts, func(a, b wire.JoinedPart) int { return int(a.Index) - int(b.Index) }))
	if p.Policy == wire.Any {
		require.Len(t, parts, 1)
	} else {
		require.Len(t, parts, int(p.Total))
	}
	for _, part := range parts {
		require.NotEqual(t, wire.PartMissing, part.State, "before its time")
		require.Equal(t, wire.Frames{{byte(part.Index)}}, part.Payload)
	}
}

func (m *scatterModel) ended(t *rapid.T, g *modelGroup) {
	g.ends++
	require.Equal(t, 1, g.ends, "a group ends once")
	require.False(t, g.over, "and not when nobody waits any more")
}

// twice delivers a part again, as a worker does that answers and dies.
func (m *scatterModel) twice(t *rapid.T) {
	if m.nextID == 0 {
		t.Skip("no request")
	}
	id := rapid.Uint32Range(1, m.nextID).Draw(t, "id")
	g := m.groups[groupID{wire.Key{Instance: 1, ID: id}, 1}]
	index := rapid.Uint32Range(0, g.piece.Total-1).Draw(t, "index")
	if !g.delivered[index] {
		t.Skip("not once yet")
	}
	m.deliver(t, m.part(id, index, g), rapid.Bool().Draw(t, "fails"))
}

// lost takes a slot with its part away; the part may be given to another.
func (m *scatterModel) lost(t *rapid.T) {
	s := m.busy(t)
	job := m.holds[s]
	delete(m.holds, s)
	require.Equal(t, []*loopback.Job{job}, m.work.Leave(s))
	if rapid.Bool().Draw(t, "again") {
		m.work.Requeue(job)
		m.of(job).given++
	} else {
		m.of(job).out[job.Info.Piece().Index]--
	}
	m.slots = slices.DeleteFunc(m.slots, func(o *Slot) bool { return o == s })
	n := m.work.Join(Butterfly, nil)
	m.slots = append(m.slots, n)
	m.work.Idle(n, nil, wire.Key{})
	m.next(t)
}

// interrupt ends a request: what waits goes, what is held is its worker's.
func (m *scatterModel) interrupt(t *rapid.T) {
	if m.nextID == 0 {
		t.Skip("no request")
	}
	key := wire.Key{Instance: 1, ID: rapid.Uint32Range(1, m.nextID).Draw(t, "id")}
	g := m.groups[groupID{key, 1}]
	held := 0
	for _, job := range m.holds {
		if job.Info.Key() == key {
			held++
		}
	}
	require.Equal(t, m.open(g)-held, m.work.Cancel(key))
	clear(g.out)
	for _, job := range m.holds {
		if job.Info.Key() == key {
			g.out[job.Info.Piece().Index]++
		}
	}
	m.join.Drop(key)
	g.over = true
	m.next(t)
}

// open is how many parts of a group are at the stage.
func (m *scatterModel) open(g *modelGroup) int {
	n := 0
	for _, times := range g.out {
		n += times
	}
	return n
}

// time passes.
func (m *scatterModel) time(t *rapid.T) {
	m.now += rapid.Int64Range(1, 6).Draw(t, "ms")
	m.expire(t)
}

func (m *scatterModel) expire(t *rapid.T) {
	for _, job := range m.work.Expire(time.UnixMilli(m.now)) {
		m.of(job).out[job.Info.Piece().Index]--
	}
	joined, refused := m.join.Expire(time.UnixMilli(m.now))
	for _, job := range joined {
		g := m.groups[groupID{job.Info.Key(), 1}]
		m.ended(t, g)
		require.Equal(t, wire.BestEffort, g.piece.Policy)
		require.NotZero(t, g.piece.Timeout)
		parts := job.Payload.(wire.Joined)
		require.Len(t, parts, int(g.piece.Total))
		for _, p := range parts {
			require.Equal(t, g.delivered[p.Index], p.State != wire.PartMissing)
		}
	}
	for _, r := range refused {
		m.ended(t, m.groups[groupID{r.Job.Info.Key(), 1}])
	}
	m.next(t)
}

func (m *scatterModel) check(t *rapid.T) {
	active := map[wire.Key]int{}
	for e := m.work.queue.first; e != nil; e = e.next {
		active[e.key]++
	}
	queued := m.work.queue.length
	for _, job := range m.holds {
		active[job.Info.Key()]++
	}
	all := len(m.holds) + m.work.Queued()
	for id, g := range m.groups {
		width := int(g.piece.Width)
		if width > 0 {
			require.LessOrEqual(t, active[id.key], width+g.given)
			if x := m.work.queue.crowds.all[id.key]; x != nil && x.first != nil {
				require.GreaterOrEqual(t, active[id.key], width, "there is room for a parked part")
			}
		}
		all -= m.open(g)
	}
	require.Zero(t, all, "no part is lost or doubled")
	require.Equal(t, m.work.Queued()-queued, m.work.queue.crowds.parked)
	require.Equal(t, m.work.Queued() == 0 && len(m.holds) == 0, m.work.Quiet())
}

// drain lets everything come to its end: nothing is left anywhere.
func (m *scatterModel) drain(t *rapid.T) {
	m.next(t)
	for len(m.holds) > 0 {
		for s, job := range m.holds {
			delete(m.holds, s)
			m.of(job).out[job.Info.Piece().Index]--
			m.deliver(t, job, false)
			m.work.Idle(s, nil, job.Info.Key())
			break
		}
		m.next(t)
	}
	m.now += 100
	m.expire(t)
	m.check(t)
	require.True(t, m.work.Quiet())
	require.Empty(t, m.work.queue.crowds.all)
	require.Empty(t, m.work.queue.crowds.ready)
	require.Zero(t, m.work.queue.crowds.parked)
	require.Zero(t, m.work.queue.crowds.bytes)
	require.True(t, m.join.Quiet())
	require.Zero(t, m.join.Waiting())
	require.Empty(t, m.join.timed)
}
