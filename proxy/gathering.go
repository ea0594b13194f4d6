package proxy

import (
	"cmp"
	"math"
	"slices"

	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// groupID names one scattering of one request.
type groupID struct {
	key   wire.Key
	group uint32
}

// gathering is a group that is not complete. Groups of one key, of which there
// can be more than one only if the request was scattered again before the parts
// of the first time had ended, form a list.
type gathering struct {
	id      groupID
	total   int
	policy  wire.Policy
	parts   wire.Joined // those that came, in the order they came
	seen    []uint64    // bits of their indices
	failed  int
	frames  int
	bytes   int64
	info    wire.Info // of the part that has come the longest way
	expires int64     // Unix µs; math.MaxInt64: never
	late    bool      // expires is the request's deadline
	place   int       // in timed; -1: none
	twin    *gathering
}

// cost is about what it takes to keep the group: a part may be empty, and the note of
// which parts have come is made at once for all.
func (x *gathering) cost() int64 {
	return x.bytes + frameCost*int64(x.frames+len(x.parts)) + int64(8*len(x.seen))
}

// has reports whether a part has come.
func (x *gathering) has(index uint32) bool { return x.seen[index/64]&(1<<(index%64)) != 0 }

// join makes one job of a group.
func (x *gathering) join() *loopback.Job {
	job := &loopback.Job{Info: x.info}
	job.Info.Code = 0
	job.Info.SetPiece(nil)
	job.Info.Flags |= wire.Scattered
	if len(x.parts) == x.total { // nobody works on any
		job.Info.Flags &^= wire.Scattered
	}
	parts := x.parts
	if x.policy == wire.Any {
		parts = parts[len(parts)-1:] // the good one has come last
	}
	if x.policy == wire.BestEffort {
		for i := range uint32(x.total) {
			if !x.has(i) {
				parts = append(parts, wire.JoinedPart{Index: i, State: wire.PartMissing})
			}
		}
	}
	slices.SortFunc(parts, func(a, b wire.JoinedPart) int { return cmp.Compare(a.Index, b.Index) })
	job.Payload, job.Size = parts, parts.Size()
	return job
}

// refused stands for a group that is not joined: its front is to be told.
func (x *gathering) refused(err error) Refused {
	return Refused{&loopback.Job{Info: x.join().Info}, err}
}

// timedGroups is a heap of groups by when they expire.
type timedGroups []*gathering

func (t timedGroups) Len() int           { return len(t) }
func (t timedGroups) Less(i, j int) bool { return t[i].expires < t[j].expires }
func (t timedGroups) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].place, t[j].place = i, j
}

// Push implements heap.Interface.
func (t *timedGroups) Push(x any) {
	g := x.(*gathering)
	g.place = len(*t)
	*t = append(*t, g)
}

// Pop implements heap.Interface.
func (t *timedGroups) Pop() any {
	last := len(*t) - 1
	g := (*t)[last]
	(*t)[last] = nil
	*t = (*t)[:last]
	g.place = -1
	return g
}

// allGroups stands for every group of a key. Groups are numbers of hops, which
// do not get so high.
const allGroups = math.MaxUint32

// recentSize is how many groups that ended, and interrupts, are remembered.
const recentSize = 4096

// recent remembers the groups that ended last.
type recent struct {
	ids  map[groupID]struct{}
	ring []groupID // in the order they came; next is the oldest once it is full
	next int
}

func (r *recent) has(id groupID) bool {
	_, ok := r.ids[id]
	return ok
}

func (r *recent) add(id groupID) {
	if r.has(id) {
		return
	}
	if r.ids == nil {
		r.ids = make(map[groupID]struct{})
	}
	if len(r.ring) < recentSize {
		r.ring = append(r.ring, id)
	} else {
		delete(r.ids, r.ring[r.next])
		r.ring[r.next] = id
		r.next = (r.next + 1) % recentSize
	}
	r.ids[id] = struct{}{}
}
