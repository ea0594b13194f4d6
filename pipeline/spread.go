package pipeline

import "math"

// view is what a worker process knows of one of its stage's proxies when it
// decides where its slots are to be.
type view struct {
	usable   bool // connected, has told its status, and is no other one's double
	draining bool // it is about to end, or not among the stage's proxies any more
	slots    int  // of all workers, by its status
	idle     int
	queued   int
	own      int // of these ours, without those that are on their way to another
	coming   int // ours that are on their way there
}

// starving reports whether jobs wait there and no slot is idle.
func (v *view) starving() bool { return v.usable && v.queued > 0 && v.idle == 0 }

// demand is how many slots there would be something to do for.
func (v *view) demand() int { return v.slots - v.idle + v.queued }

// move says that some of our slots at one proxy are to go to another one.
type move struct {
	from, to int
	count    int
	pause    int  // ticks until the next decision: what this brings about has to show first
	busy     bool // slots that are at work go, too, once they are idle
}

// Pauses, in ticks of 50 ms.
const (
	pauseIdle  = 3  // after idle slots went where jobs wait
	pauseBusy  = 10 // after busy ones did
	pauseEven  = 20 // after slots were spread evenly
	calmBefore = 40 // for how long nobody has to starve before slots are
)

// plan decides whether slots of this process have to move. Each worker process of
// the stage decides for itself by the same statuses, so that each moves its share
// only, by chance where that is less than one: random returns a number from 0 to
// below 1. calm is for how many ticks no proxy has been starving.
//
// What slots are there for comes first: jobs that wait at one proxy while slots
// are idle at another. Then a proxy that has jobs and no slots at all, or many
// more jobs for each than another. If nobody wants for anything slots are spread
// evenly, so that all proxies share what comes. Under load one that has hardly any,
// since it has just come, gets some: those who send see them idle, and send jobs
// there.
func plan(all []view, calm int, random func() float64) (m move, any bool) {
	if m, any = leaveDraining(all); any {
		return m, true
	}
	to := neediest(all)
	switch {
	case to >= 0:
		if m = feed(all, to); m.count == 0 {
			m = begin(all)
		}
	case calm >= calmBefore:
		m = even(all)
	}
	if m.count == 0 {
		return move{}, false
	}
	m.count = share(&all[m.from], m.count, random) - all[m.to].coming
	if m.count = min(m.count, all[m.from].own); m.count <= 0 {
		return move{pause: m.pause}, false // it is others' turn: the lot is drawn once
	}
	return m, true
}

// leaveDraining takes all slots from a proxy that is about to end and has nothing
// for them to do. If something comes it is starving, and slots return.
func leaveDraining(all []view) (move, bool) {
	to := -1
	for i := range all {
		if v := &all[i]; v.usable && !v.draining && (to < 0 || v.slots < all[to].slots) {
			to = i
		}
	}
	for i := range all {
		if v := &all[i]; to >= 0 && v.usable && v.draining && v.queued == 0 && v.own > 0 {
			return move{from: i, to: to, count: v.own, busy: true}, true
		}
	}
	return move{}, false
}

// neediest returns the starving proxy with the most jobs for each slot, one
// without slots before all others, and -1 if there is none.
func neediest(all []view) int {
	to, most := -1, 0.0
	for i := range all {
		if v := &all[i]; v.starving() {
			if need := float64(v.queued) / (float64(v.slots) + 1e-6); to < 0 || need > most {
				to, most = i, need
			}
		}
	}
	return to
}

// feed returns how many slots, of all workers, should come to a starving proxy.
func feed(all []view, to int) move {
	from := -1
	for i := range all { // idle slots, and most of them
		if v := &all[i]; i != to && v.usable && v.own > 0 && v.idle > 0 && v.queued == 0 && (from < 0 || v.idle > all[from].idle) {
			from = i
		}
	}
	hungry := &all[to]
	if from >= 0 {
		return move{from: from, to: to, count: half(min(hungry.queued, all[from].idle)), pause: pauseIdle}
	}
	for i := range all { // or of the one with the fewest jobs for each
		if v := &all[i]; i != to && v.usable && v.own > 0 && v.slots > 0 && (from < 0 || v.queued*all[from].slots < all[from].queued*v.slots) {
			from = i
		}
	}
	if from < 0 {
		return move{}
	}
	rich := &all[from]
	m := move{from: from, to: to, pause: pauseBusy, busy: true}
	wanted := float64(rich.slots+hungry.slots) * float64(hungry.demand()) / float64(max(1, rich.demand()+hungry.demand()))
	switch {
	case hungry.slots == 0:
		m.count = max(1, half(int(wanted)))
		m.count = min(m.count, max(1, rich.slots-1))
	case float64(hungry.queued)/float64(hungry.slots) > 1+2*float64(rich.queued)/float64(rich.slots):
		m.count = min(half(int(wanted)-hungry.slots), rich.slots-1)
	}
	return m
}

// even returns how many slots should move so that all proxies have as many. A
// difference that is small is none.
func even(all []view) move {
	most, least := extremes(all)
	if most < 0 {
		return move{}
	}
	more, less := all[most].slots, all[least].slots
	if more-less < 2 || more-less <= (more+less)/8 {
		return move{}
	}
	return move{from: most, to: least, count: (more - less) / 2, pause: pauseEven, busy: true}
}

// begin returns how many slots should move to a proxy that has less than a quarter
// of what another has: half of what would be even.
func begin(all []view) move {
	most, least := extremes(all)
	if most < 0 || all[most].slots < 2 || 4*all[least].slots >= all[most].slots {
		return move{}
	}
	return move{from: most, to: least, count: half((all[most].slots - all[least].slots) / 2), pause: pauseEven, busy: true}
}

// extremes returns the proxies with the most slots, where some are ours, and with
// the fewest; most is -1 if there is none.
func extremes(all []view) (most, least int) {
	most, least = -1, -1
	for i := range all {
		v := &all[i]
		if !v.usable || v.draining {
			continue
		}
		if v.own > 0 && (most < 0 || v.slots > all[most].slots) {
			most = i
		}
		if least < 0 || v.slots < all[least].slots {
			least = i
		}
	}
	return most, least
}

// half is half of n and at least one, if n is.
func half(n int) int { return max(0, n+1) / 2 }

// share returns how many of count slots that are to leave a proxy are ours.
func share(from *view, count int, random func() float64) int {
	exact := float64(count) * float64(from.own) / float64(max(1, from.slots, from.own))
	whole := math.Floor(exact)
	if random() < exact-whole {
		whole++
	}
	return int(whole)
}
