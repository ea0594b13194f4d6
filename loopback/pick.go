package loopback

import (
	"hash/fnv"
	"math"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// candidate is one of a stage's proxies, as seen by whoever has a job for it.
type candidate struct {
	endpoint string
	up       bool      // connected
	since    time.Time // when it connected; zero: not known
	down     time.Time // since when it is not connected, or known
	twin     bool      // another candidate leads to the same proxy
	state    RemoteState
	sent     int64 // jobs sent there since it told its status
	full     int64 // until when it counts as full, in Unix ns; 0: it is not
}

// takes reports whether new jobs are to be sent there.
func (c *candidate) takes() bool { return c.up && !c.twin && !c.state.Status.Draining }

// free is how many slots are idle, as far as is known.
func (c *candidate) free() int64 { return max(0, int64(c.state.Status.Idle)-c.sent) }

// load is how many jobs wait for each slot, one more counted; without slots there
// is no end to it. A proxy that tells nothing counts as one slot.
func (c *candidate) load() float64 {
	s := &c.state.Status
	switch {
	case c.state.Told.IsZero():
		return float64(c.sent + 1)
	case s.Slots == 0:
		return math.Inf(1)
	}
	return float64(int64(s.Queued)+c.sent+1-int64(s.Idle)) / float64(s.Slots)
}

// settled is how long a proxy has been there until every sender has connected to
// it most likely: longer than they pause between attempts.
const settled = 2 * time.Second

// known returns those of the candidates that every other sender most likely knows,
// too; all, if there are none that take jobs.
func known(from []*candidate, now time.Time) (old []*candidate) {
	for _, c := range from {
		if c.takes() && now.Sub(c.since) >= settled {
			old = append(old, c)
		}
	}
	if len(old) == 0 {
		return from
	}
	return old
}

// pick returns which of the candidates gets the next job, -1 if none is there.
// Those that have idle slots by their last status, less what was sent since, are
// chosen by chance, each slot with the same: many senders who hear the same would
// all choose the same otherwise. If there are none it is the one with the fewest
// jobs for each slot. Those that drain are for stages that may not wait, which
// late says, and only if there is no other. random(n) returns a number below n.
func pick(from []*candidate, late bool, random func(n int64) int64) int {
	var free int64
	for _, c := range from {
		if c.takes() {
			free += c.free()
		}
	}
	if free > 0 {
		at := random(free)
		for i, c := range from {
			if c.takes() {
				if at -= c.free(); at < 0 {
					return i
				}
			}
		}
	}
	if i := lightest(from, (*candidate).takes); i >= 0 || !late {
		return i
	}
	return lightest(from, func(c *candidate) bool { return c.up })
}

// lightest returns the candidate with the least load, of several the one that
// was sent the least; -1 if may holds for none.
func lightest(from []*candidate, may func(*candidate) bool) int {
	best, least := -1, 0.0
	for i, c := range from {
		if !may(c) {
			continue
		}
		if load := c.load(); best < 0 || load < least || load == least && c.sent < from[best].sent {
			best, least = i, load
		}
	}
	return best
}

// meet returns where a part of a scattered job goes, so that all parts of its
// group meet: at the proxy that the group's envelope names, if it is one of these,
// even if it drains. Else all who know the same endpoints find the same by the
// group's key, as long as they are connected to the same (rendezvous hashing). That
// is not sure until then if one has not been connected for moments only: it may be
// the one that is named, and others may be connected to it. The zero time: it is.
func meet(from []*candidate, key wire.Key, piece *wire.Piece, now time.Time) (at int, until time.Time) {
	for i, c := range from {
		if piece.Meet != 0 && c.up && mark(c.state.Instance) == piece.Meet {
			return i, time.Time{}
		}
	}
	best, highest, takes := -1, uint64(0), false
	for i, c := range from {
		if !c.up || c.twin || takes && !c.takes() {
			continue
		}
		if score := rendezvous(c.endpoint, key, piece.Group); best < 0 || score > highest || !takes && c.takes() {
			best, highest, takes = i, score, c.takes()
		}
	}
	return best, awaited(from, now)
}

// awaited returns until when one of them is waited for that is not connected; the
// zero time: none is.
func awaited(from []*candidate, now time.Time) (until time.Time) {
	for _, c := range from {
		if back := c.down.Add(maxMeetWait); !c.up && back.After(now) && back.After(until) {
			until = back
		}
	}
	return until
}

// maxMeetWait is for how long a proxy that is not connected yet, or not any more,
// is waited for as the one where parts meet: longer than the pauses between two
// attempts.
const maxMeetWait = time.Second

// rendezvous is how much a group of parts wants to be at an endpoint.
func rendezvous(endpoint string, key wire.Key, group uint32) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(endpoint))
	x := h.Sum64() ^ key.Instance ^ uint64(key.ID)<<32 ^ uint64(key.Time) ^ uint64(group)<<16
	// FNV leaves neighbours near to one another: splitmix64 does not.
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// mark is the short name of a proxy in envelopes, by its instance; 0: none.
func mark(instance uint64) uint16 {
	if instance == 0 {
		return 0
	}
	folded := instance ^ instance>>32
	return max(1, uint16(folded^folded>>16))
}
