package loopback

import "time"

// DefaultFrontGrace is for how long by default a front may be away before its
// jobs are given up.
const DefaultFrontGrace = 5 * time.Second

// maxFronts bounds the fronts that are remembered.
const maxFronts = 256

// presence knows which fronts, by their instances, a process is connected to, and
// decides which have gone: those that were away for longer than the grace, and at
// once those at whose endpoint another one is. It has no clock and no lock.
//
//	connected ──last connection lost──▶ away ──grace──▶ gone
//	     ▲           └─another instance is there─────▶ gone, for good
//	     └──────────connected again────────┴────────────┘
type presence struct {
	grace  time.Duration // negative: who is away does not go
	at     map[string]uint64
	fronts map[uint64]*attendance
}

// attendance is what is known of one front.
type attendance struct {
	conns    int
	away     time.Time // since when it has been away
	replaced bool      // another one was seen at an endpoint of its own
	gone     bool
}

// change is what has become of a front.
type change struct {
	front    uint64
	gone     bool // else it is back
	replaced bool
}

// up takes note of a connection to an endpoint, at which a front of an instance
// is; 0 is one that did not announce itself.
func (p *presence) up(endpoint string, front uint64, now time.Time) (changes []change) {
	if p.at == nil {
		p.at, p.fronts = make(map[string]uint64), make(map[uint64]*attendance)
	}
	before := p.at[endpoint]
	p.at[endpoint] = front
	if a := p.fronts[before]; a != nil && before != front {
		a.replaced = true
		changes = append(changes, p.leave(before, a)...)
	}
	if front == 0 {
		return changes
	}
	a := p.fronts[front]
	if a == nil {
		p.makeRoom()
		a = &attendance{}
		p.fronts[front] = a
	}
	a.conns++
	if a.gone && !a.replaced {
		a.gone = false
		changes = append(changes, change{front: front})
	}
	return changes
}

// down takes note that the connection to an endpoint has ended.
func (p *presence) down(endpoint string, now time.Time) []change {
	front := p.at[endpoint]
	a := p.fronts[front]
	if a == nil {
		return nil
	}
	a.conns--
	a.away = now
	return p.leave(front, a)
}

// leave ends a front that was replaced once it has no connection any more.
func (p *presence) leave(front uint64, a *attendance) []change {
	if a.conns > 0 || a.gone || !a.replaced {
		return nil
	}
	a.gone = true
	return []change{{front, true, true}}
}

// due returns the fronts that have been away for too long at now.
func (p *presence) due(now time.Time) (changes []change) {
	for front, a := range p.fronts {
		if p.waits(a) && !now.Before(a.away.Add(p.grace)) {
			a.gone = true
			changes = append(changes, change{front: front, gone: true})
		}
	}
	return changes
}

// next returns when due has something to do next, if ever.
func (p *presence) next() (at time.Time, any bool) {
	for _, a := range p.fronts {
		if end := a.away.Add(p.grace); p.waits(a) && (!any || end.Before(at)) {
			at, any = end, true
		}
	}
	return at, any
}

// waits reports whether a front is away and may come back.
func (p *presence) waits(a *attendance) bool {
	return p.grace >= 0 && a.conns <= 0 && !a.gone
}

// makeRoom forgets a front that has gone, if there are too many.
func (p *presence) makeRoom() {
	for front, a := range p.fronts {
		if len(p.fronts) < maxFronts {
			return
		}
		if a.gone {
			delete(p.fronts, front)
		}
	}
}
