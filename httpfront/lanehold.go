package httpfront

import (
	"slices"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/queueing"
)

// How a lane of a cycle begins that has not seen any request answered while the way
// was busy.
//
// In a cycle jobs take turns: of all that were let in none is answered before all
// the others are nearly done. A front that is started under a load would let in all
// of it for as long as clients wait, and then know that it was too much. So until the
// lane knows how long an answer takes it lets in no more than keep the workers busy.
// The others wait in the front, and are let in or refused by what the first answers
// tell; if that takes longer than mostHeld, or an eighth of the time that they have,
// they are let in: those before may be dear ones, and the workers that these are for
// have nothing to do.
const (
	mostHeld  = time.Second
	heldShare = 8
)

// ticket is a request that waits to be let into its lane.
type ticket struct {
	client   uint32
	deadline time.Time
	most     time.Duration // that it waits
	turn     chan error    // gets what enter would have returned
	admitted bool          // guarded by the lane's lock
}

// knows reports whether a request can be let in or refused by what is known, or
// there is need for more. The caller holds the lock.
func (l *Lane) knows(slots int) bool {
	return l.interval() > 0 || l.open.Load() < max(2*int64(slots), queueing.LeastJobs)
}

// hold has a request wait. The caller holds the lock.
func (l *Lane) hold(client uint32, now, deadline time.Time) stay {
	most := min(deadline.Sub(now)/heldShare, l.mostHeld)
	t := &ticket{client: client, deadline: deadline, most: most, turn: make(chan error, 1)}
	l.held = append(l.held, t)
	return stay{ticket: t}
}

// release lets a request in that has waited long enough, if it still waits.
func (l *Lane) release(t *ticket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.held, t); i >= 0 {
		l.held = slices.Delete(l.held, i, i+1)
		l.list(t.client)
		t.admitted = true
		t.turn <- nil
	}
}

// redeem reports whether a request that had to wait was let in. If it still waits it
// does no more. The caller holds the lock.
func (l *Lane) redeem(t *ticket) bool {
	if i := slices.Index(l.held, t); i >= 0 {
		l.held = slices.Delete(l.held, i, i+1)
	}
	return t.admitted
}

// serve lets in or refuses those that wait, as far as it can be said of them. The
// caller holds the lock.
func (l *Lane) serve(slots int, now time.Time) {
	if l.interval() == 0 {
		for len(l.held) > 0 && l.knows(slots) {
			i := l.neediest()
			l.settle(l.held[i], slots, now)
			l.held = slices.Delete(l.held, i, i+1)
		}
		return
	}
	for _, t := range l.held {
		l.settle(t, slots, now)
	}
	l.held = nil
}

// settle lets one in or refuses it. The caller holds the lock.
func (l *Lane) settle(t *ticket, slots int, now time.Time) {
	err := l.admit(t.client, now, t.deadline, int64(slots))
	t.admitted = err == nil
	t.turn <- err
}

// neediest returns the place of the first of those that wait whose client has the
// fewest requests in the lane. The caller holds the lock.
func (l *Lane) neediest() (place int) {
	for i, t := range l.held {
		if l.clients[t.client] < l.clients[l.held[place].client] {
			place = i
		}
	}
	return place
}
