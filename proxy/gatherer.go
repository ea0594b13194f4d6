package proxy

import (
	"cmp"
	"container/heap"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// GathererConfig configures a Gatherer.
type GathererConfig struct {
	// Stage is the stage's name: it takes the parts that are to be joined there.
	Stage string
	// Skew is added to the deadlines of requests, as a Balancer's.
	Skew time.Duration
	// MaxBytes bounds the payload of a joined job, the table of its parts
	// included; 0: no bound.
	MaxBytes int64
}

// Gatherer stands before the Balancer of a stage and joins the parts of
// scattered jobs: it keeps them until their group is complete by its policy, and
// then makes one job of them. Like a Balancer it has no goroutine, clock, socket
// or lock: its owner serializes the calls and does what they return.
//
// A group is joined or refused once. It is remembered for a while, so that parts
// that come late, or twice, are ignored. What is kept is bounded by what fronts
// admitted, and goes at the latest with the request's deadline.
type Gatherer struct {
	cfg     GathererConfig
	stage   uint32
	groups  map[wire.Key]*gathering
	timed   timedGroups
	ended   recent
	opened  int    // groups
	waiting int    // parts kept
	bytes   int64  // of groups and parts, with what it costs to keep them
	ignored uint64 // parts that came late or twice
}

// NewGatherer returns a Gatherer without groups. One without a stage takes no
// parts.
func NewGatherer(c GathererConfig) *Gatherer {
	if c.MaxBytes == 0 {
		c.MaxBytes = math.MaxInt64
	}
	return &Gatherer{cfg: c, stage: wire.StageHash(c.Stage)}
}

// Take takes a job that is a part to be joined here, and returns the job that
// its group makes, or nil if more has to come. Any other job it returns. With
// an error, whose kinds Refusal knows, the request is to be refused.
func (g *Gatherer) Take(job *loopback.Job, now time.Time) (*loopback.Job, error) {
	if !job.Info.Extended || job.Info.Piece() == nil {
		return job, nil
	}
	p := job.Info.Piece()
	if p.Join != g.stage || g.cfg.Stage == "" {
		if p.Failed || p.Opening {
			return nil, &MessageError{"part", errors.New("it is for another stage, where parts are joined")}
		}
		return job, nil
	}
	id := groupID{job.Info.Key(), p.Group}
	if g.ended.has(id) || g.ended.has(groupID{id.key, allGroups}) {
		g.ignored++
		return nil, nil
	}
	x := g.find(id)
	if x == nil {
		x = g.open(id, job, now)
	}
	switch {
	case x.total != int(p.Total) || x.policy != p.Policy:
		return nil, &MessageError{"part", fmt.Errorf("it is one of %d and they are joined by %s; of others there are %d, by %s",
			p.Total, p.Policy, x.total, x.policy)}
	case p.Opening:
		return nil, nil
	case x.has(p.Index):
		g.ignored++
		return nil, nil
	}
	g.add(x, p, job)
	return g.settle(x, p, job)
}

// find returns an open group.
func (g *Gatherer) find(id groupID) *gathering {
	x := g.groups[id.key]
	for x != nil && x.id != id {
		x = x.twin
	}
	return x
}

// open begins a group.
func (g *Gatherer) open(id groupID, job *loopback.Job, now time.Time) *gathering {
	p := job.Info.Piece()
	x := &gathering{
		id: id, total: int(p.Total), policy: p.Policy, info: job.Info, place: -1,
		seen: make([]uint64, (p.Total+63)/64), expires: math.MaxInt64, twin: g.groups[id.key],
	}
	if d := deadlineOf(&job.Info, g.cfg.Skew.Microseconds()); d != 0 {
		x.expires, x.late = d, true
	}
	if p.Timeout != 0 {
		if at := now.UnixMicro() + 1000*int64(p.Timeout); at < x.expires {
			x.expires, x.late = at, false
		}
	}
	if g.groups == nil {
		g.groups = make(map[wire.Key]*gathering)
	}
	g.groups[id.key] = x
	g.opened++
	g.bytes += x.cost()
	if x.expires != math.MaxInt64 {
		heap.Push(&g.timed, x)
	}
	return x
}

// add keeps a part.
func (g *Gatherer) add(x *gathering, p *wire.Piece, job *loopback.Job) {
	x.seen[p.Index/64] |= 1 << (p.Index % 64)
	part := wire.JoinedPart{Index: p.Index, Payload: job.Payload}
	if p.Failed {
		part.State, part.Code = wire.PartFailed, job.Info.Code
		x.failed++
	}
	g.bytes -= x.cost()
	x.parts = append(x.parts, part)
	x.frames += len(job.Payload.Frames())
	x.bytes += int64(job.Size)
	g.bytes += x.cost()
	g.waiting++
	if job.Info.Hops >= x.info.Hops {
		x.info = job.Info
	}
}

// settle ends the group if the part that came last decides it.
func (g *Gatherer) settle(x *gathering, p *wire.Piece, job *loopback.Job) (*loopback.Job, error) {
	size := wire.JoinedSize(x.total, x.frames, x.bytes)
	switch complete := len(x.parts) == x.total; {
	case p.Failed && (x.policy == wire.All || x.policy == wire.Any && x.failed == x.total):
		g.end(x)
		return nil, newPartError(job)
	case size > g.cfg.MaxBytes:
		g.end(x)
		return nil, &JoinedSizeError{Bytes: size, Max: g.cfg.MaxBytes}
	case complete && x.policy != wire.Any, x.policy == wire.Any && !p.Failed:
		g.end(x)
		return x.join(), nil
	}
	return nil, nil
}

// end forgets a group but for its name.
func (g *Gatherer) end(x *gathering) {
	g.waiting -= len(x.parts)
	g.opened--
	g.bytes -= x.cost()
	g.ended.add(x.id)
	if x.place >= 0 {
		heap.Remove(&g.timed, x.place)
	}
	first := g.groups[x.id.key]
	switch {
	case first != x:
		for first.twin != x {
			first = first.twin
		}
		first.twin = x.twin
	case x.twin != nil:
		g.groups[x.id.key] = x.twin
	default:
		delete(g.groups, x.id.key)
	}
}

// Earliest returns when a group expires next, in Unix microseconds: only later
// than that does Expire find anything. It reports false if none does.
func (g *Gatherer) Earliest() (int64, bool) {
	if len(g.timed) == 0 {
		return 0, false
	}
	return g.timed[0].expires, true
}

// Expire ends the groups whose time has passed at now: the jobs that some of
// them make, and those to be refused.
func (g *Gatherer) Expire(now time.Time) (joined []*loopback.Job, refused []Refused) {
	for len(g.timed) > 0 && g.timed[0].expires < now.UnixMicro() {
		x := g.timed[0]
		g.end(x)
		switch {
		case x.late:
			refused = append(refused, x.refused(ErrExpired))
		case x.policy == wire.BestEffort:
			joined = append(joined, x.join())
		default:
			refused = append(refused, x.refused(&MissingError{Parts: x.total, Came: len(x.parts), Failed: x.failed}))
		}
	}
	return joined, refused
}

// Drop forgets the groups of a key. Parts that will still come are ignored.
func (g *Gatherer) Drop(key wire.Key) {
	for x := g.groups[key]; x != nil; x = g.groups[key] {
		g.end(x)
	}
	g.ended.add(groupID{key, allGroups})
}

// Dropped reports whether nobody waits for the jobs of a key any more: whether
// it was dropped, not too many others ago.
func (g *Gatherer) Dropped(key wire.Key) bool { return g.ended.has(groupID{key, allGroups}) }

// Clear forgets all groups and returns a job for each, to be refused.
func (g *Gatherer) Clear() []*loopback.Job {
	var jobs []*loopback.Job
	for _, x := range g.groups {
		for ; x != nil; x = x.twin {
			jobs = append(jobs, x.refused(nil).Job)
		}
	}
	slices.SortFunc(jobs, func(a, b *loopback.Job) int { return cmp.Compare(a.Info.ID, b.Info.ID) })
	g.groups, g.timed, g.waiting, g.opened, g.bytes = nil, nil, 0, 0, 0
	return jobs
}

// Waiting returns how many parts wait for others.
func (g *Gatherer) Waiting() int { return g.waiting }

// Ignored returns how many parts came late or twice.
func (g *Gatherer) Ignored() uint64 { return g.ignored }

// Quiet reports whether no group is open.
func (g *Gatherer) Quiet() bool { return len(g.groups) == 0 }
