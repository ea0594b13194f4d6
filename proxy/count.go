package proxy

import (
	"fmt"
	"math"

	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// counter counts the stages that jobs enter, in their info frames, and holds
// them against the stage's bounds. Its Balancer's owner serializes the calls.
type counter struct {
	name      string
	names     map[uint32]string
	stage     uint32 // hash of the name
	named     bool   // else it leaves no trail
	bounded   bool   // its visits are counted
	maxHops   uint32
	maxVisits uint32
	first     *wire.Way // of a job that enters by this stage
	memo      [memoized]step
	oldest    int // place in memo to be used next
}

// memoized is how many different ways by which jobs come a counter remembers.
// Behind a chain of stages there are as many as routes that lead here, so that
// nothing is allocated for them; in a cycle every turn is another way, of which
// only the first are worth remembering.
const memoized = 8

// step is what entering the stage makes of a way.
type step struct {
	from   wire.Way
	shared *wire.Way // the one that was equal to from last, inside this process
	to     *wire.Way
}

func newCounter(c BalancerConfig) counter {
	k := counter{
		name:      c.Stage,
		names:     c.Names,
		stage:     wire.StageHash(c.Stage),
		named:     c.Stage != "" || c.MaxVisits > 0,
		bounded:   c.MaxVisits > 0,
		maxHops:   boundOf(c.MaxHops),
		maxVisits: boundOf(c.MaxVisits),
		first:     new(wire.Way),
	}
	if k.named {
		k.first.Enter(k.stage, k.bounded)
	}
	return k
}

// boundOf returns a configured bound as the envelope counts.
func boundOf(n int) uint32 {
	if n <= 0 || n > math.MaxUint32 {
		return math.MaxUint32
	}
	return uint32(n)
}

// enter counts the stage in a job's info frame. It returns a *LoopError if that
// breaks a bound; the frame then counts this visit, too. A front's job has been
// nowhere before, whatever its frame says. A frame that has no extension is not
// counted.
func (k *counter) enter(info *wire.Info) error {
	if !info.Extended {
		return nil
	}
	fresh := info.Hops == 0
	if info.Hops < math.MaxUint32 {
		info.Hops++
	}
	switch {
	case fresh:
		info.Way = k.first
	case k.named:
		info.Way = k.after(info)
	}
	if info.Hops > k.maxHops {
		return k.loop(info, "hops", info.Hops, k.maxHops)
	}
	if k.bounded {
		if n := info.Way.Visits(k.stage); n > k.maxVisits {
			return k.loop(info, "visits", n, k.maxVisits)
		}
	}
	return nil
}

// after returns the way of a job that has entered the stage now.
func (k *counter) after(info *wire.Info) *wire.Way {
	short := info.Hops <= wire.MaxTrail
	if short && info.Way != nil {
		for i := range k.memo {
			if k.memo[i].shared == info.Way {
				return k.memo[i].to
			}
		}
	}
	from := info.ReadWay()
	if short {
		if to := k.remembered(from, info.Way); to != nil {
			return to
		}
	}
	to := new(wire.Way)
	*to = from
	to.Enter(k.stage, k.bounded)
	if short {
		k.memo[k.oldest] = step{from: from, shared: info.Way, to: to}
		k.oldest = (k.oldest + 1) % memoized
	}
	return to
}

// remembered returns what the stage made of a way before, or nil. It will know
// the way by where it is shared, if it is.
func (k *counter) remembered(from wire.Way, shared *wire.Way) *wire.Way {
	for i := range k.memo {
		if s := &k.memo[i]; s.to != nil && s.from == from {
			if shared != nil {
				s.shared = shared
			}
			return s.to
		}
	}
	return nil
}

// loop returns the error for a job that broke a bound.
func (k *counter) loop(info *wire.Info, what string, count, limit uint32) error {
	e := &LoopError{Stage: k.name, What: what, Count: count, Limit: limit}
	way := info.ReadWay()
	for _, stage := range way.Trail() {
		name, known := k.names[stage]
		switch {
		case known:
		case stage == k.stage && k.named:
			name = k.name
		default:
			name = fmt.Sprintf("#%08x", stage)
		}
		e.Trail = append(e.Trail, name)
	}
	return e
}
