package httpfront

import (
	"slices"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/queueing"
)

// How a lane of a cycle begins that has not seen requests answered while the way was
// busy.
//
// In a cycle jobs take turns: of all that were let in none is answered before all
// the others are nearly done. A front that is started under a load would let in all
// of it for as long as clients wait, and then know that it was too much. So until the
// lane knows how long an answer takes it lets in no more than keep the workers busy:
// a window of twice the slots. The others wait in the front. When as many as a window
// have been answered, or their deadlines have passed, those are let in that can be
// answered in time. The others wait a little more, since first jobs are dear where
// there is something to load or to compile: they are let in if it turns out that
// they are in time, and refused when they have waited long enough.
//
// Nobody waits longer than mostHeld, or a quarter of the time that he has: if nothing
// is known then he is let in. Those before may be dear ones, and the workers that he
// is for idle.
const (
	mostHeld  = time.Second
	heldShare = 4
	// mostServed is how many are let in at a time, since each is looked for among all.
	mostServed = 16
)

// ticket is a request that waits to be let into its lane.
type ticket struct {
	client   uint32
	deadline time.Time
	most     time.Duration // that it waits
	turn     chan error    // gets what enter would have returned
	admitted bool          // guarded by the lane's lock
}

// begins reports whether not enough is known yet to refuse a request with that
// deadline. The caller holds the lock.
func (l *Lane) begins(deadline time.Time) bool {
	return l.cyclic && !l.known && !deadline.IsZero()
}

func window(slots int) int { return max(2*slots, queueing.LeastJobs) }

// full reports whether the window is. The caller holds the lock.
func (l *Lane) full(slots int) bool { return l.open.Load() >= int64(window(slots)) }

// hold has a request wait. The caller holds the lock.
func (l *Lane) hold(client uint32, now, deadline time.Time) stay {
	most := min(deadline.Sub(now)/heldShare, l.mostHeld)
	t := &ticket{client: client, deadline: deadline, most: most, turn: make(chan error, 1)}
	l.held = append(l.held, t)
	return stay{ticket: t}
}

// release settles the fate of a request that has waited long enough, if it still
// waits.
func (l *Lane) release(t *ticket, now time.Time) {
	slots, _ := l.busy()
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.held, t)
	if i < 0 {
		return
	}
	l.held = slices.Delete(l.held, i, i+1)
	if l.known {
		t.settle(l.admit(t.client, now, t.deadline, int64(slots)))
		return
	}
	l.list(t.client)
	t.settle(nil)
}

// settle tells what became of it. The caller holds the lane's lock.
func (t *ticket) settle(err error) {
	t.admitted = err == nil
	t.turn <- err
}

// redeem reports whether a request that had to wait was let in. If it still waits it
// does no more. The caller holds the lock.
func (l *Lane) redeem(t *ticket) bool {
	if i := slices.Index(l.held, t); i >= 0 {
		l.held = slices.Delete(l.held, i, i+1)
	}
	return t.admitted
}

// begin takes the end of a request while too little is known. The caller holds the
// lock.
func (l *Lane) begin(slots int, how outcome, clock func() time.Time) {
	if how != dropped {
		l.ended++
	}
	if l.ended < window(slots) || l.interval() == 0 {
		l.serve(slots)
		return
	}
	l.known = true
	now := clock()
	l.held = slices.DeleteFunc(l.held, func(t *ticket) bool {
		err := l.admit(t.client, now, t.deadline, int64(slots))
		if err == nil {
			t.settle(nil)
		}
		return err == nil
	})
}

// reconsider lets those in who turn out to be in time, in their order up to the
// first that would not be. The caller holds the lock.
func (l *Lane) reconsider(slots int, clock func() time.Time) {
	for len(l.held) > 0 {
		t := l.held[0]
		if l.admit(t.client, clock(), t.deadline, int64(slots)) != nil {
			return
		}
		l.held = slices.Delete(l.held, 0, 1)
		t.settle(nil)
	}
}

// serve lets in some of those that wait, as far as the window has room. The caller
// holds the lock.
func (l *Lane) serve(slots int) {
	for n := 0; n < mostServed && len(l.held) > 0 && !l.full(slots); n++ {
		i := l.neediest()
		t := l.held[i]
		l.held = slices.Delete(l.held, i, i+1)
		l.list(t.client)
		t.settle(nil)
	}
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
