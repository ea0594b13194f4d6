package loopback

import (
	"slices"
	"time"
)

// DefaultProxyGrace is how long a front waits by default, after it has lost the
// connection to a proxy, before it settles what nobody holds any more.
const DefaultProxyGrace = time.Second

const (
	// lateNotice is when the roll is called once more after a loss. Who was cut
	// off notices by heartbeats, each part in its own time, and may have sent
	// jobs into the dead connection until then.
	lateNotice = 10 * time.Second
	// latestLoss is how much earlier such a job was submitted at the latest.
	latestLoss = 2 * time.Second
	// youth is for how long a front that has started calls no roll: the holders of
	// its jobs look for its loopback after pauses of up to half a second, as
	// transport.Backoff has it, and handshakes take time on busy machines. Who has
	// not found it yet cannot claim.
	youth = time.Second
	// maxRollCalls bounds those that are planned or under way. A connection that
	// comes and goes faster than it bears is asked about less often.
	maxRollCalls = 64
)

// recovery decides when a front that has lost a proxy asks who holds its jobs,
// and when what nobody claims is lost. It has no clock and no lock.
//
//	loss ──grace/2──▶ ask ──grace/2──▶ decide
//	     └──10 s────▶ ask ──grace/2──▶ decide
//
// A front that has just started asks when its youth is over, if that is later.
// The first half is for others to notice the loss, too, and for the proxy's
// successor to come: a claim made before that may be of a job which is about to
// be written to the dead connection. In the second half jobs that travel arrive
// somewhere, and are claimed there.
type recovery struct {
	grace  time.Duration
	youth  time.Time // until when it does not ask
	number uint32    // of the latest roll call
	calls  []rollCall
}

// rollCall is one of them, planned or under way.
type rollCall struct {
	stage  Losable   // whose proxy was lost; nil: jobs of any may have been
	first  time.Time // when the loss was noticed first
	before time.Time // it is about jobs submitted until then
	ask    time.Time
	decide time.Time
	number uint32 // 0: planned
}

// lost plans the roll calls for a loss.
func (r *recovery) lost(stage Losable, now time.Time) {
	if len(r.calls)+2 > maxRollCalls {
		return
	}
	ask := r.soon(now)
	r.calls = append(r.calls,
		rollCall{stage: stage, before: now, ask: ask, decide: ask.Add(r.grace / 2)},
		rollCall{stage: stage, before: now.Add(lateNotice - latestLoss), ask: now.Add(lateNotice), decide: now.Add(lateNotice + r.grace/2)})
}

// somewhere plans a roll call since jobs may have got lost with a connection
// between others. One that is planned so already does for this loss, too; it waits
// a little longer, so that however many come costs no more.
func (r *recovery) somewhere(now time.Time) {
	ask := r.soon(now)
	for i := range r.calls {
		c := &r.calls[i]
		if c.stage != nil || c.number != 0 {
			continue
		}
		if latest := c.first.Add(r.grace); ask.After(latest) {
			ask = later(latest, r.youth)
		}
		c.before, c.ask, c.decide = now, ask, ask.Add(r.grace/2)
		return
	}
	if len(r.calls) < maxRollCalls {
		r.calls = append(r.calls, rollCall{first: now, before: now, ask: ask, decide: ask.Add(r.grace / 2)})
	}
}

// soon returns when to ask about a loss.
func (r *recovery) soon(now time.Time) time.Time { return later(now.Add(r.grace/2), r.youth) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// next returns when due has something to do next; false: never.
func (r *recovery) next() (at time.Time, any bool) {
	for _, c := range r.calls {
		due := c.ask
		if c.number != 0 {
			due = c.decide
		}
		if !any || due.Before(at) {
			at, any = due, true
		}
	}
	return at, any
}

// due returns the number of a roll call to ask now, or 0, and those whose time
// is over.
func (r *recovery) due(now time.Time) (ask uint32, over []rollCall) {
	for i := range r.calls {
		c := &r.calls[i]
		if c.number != 0 || c.ask.After(now) {
			continue
		}
		if ask == 0 {
			if r.number++; r.number == 0 {
				r.number = 1
			}
			ask = r.number
		}
		// Who was late to ask is not early to decide.
		c.number, c.decide = ask, now.Add(c.decide.Sub(c.ask))
	}
	r.calls = slices.DeleteFunc(r.calls, func(c rollCall) bool {
		if c.number == 0 || c.number == ask || c.decide.After(now) {
			return false
		}
		over = append(over, c)
		return true
	})
	return ask, over
}
