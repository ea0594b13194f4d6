package pipeline

import (
	"math/rand/v2"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// settleTicks is for how long a worker that starts waits for all proxies to be
// connected before it spreads its slots over those that are.
const settleTicks = 3

// ask asks a proxy, with which no slot has spoken yet, for the status of its
// stage: by a withdrawal of nothing. The caller holds the lock.
func (l *link) ask(p peer) {
	if p.Instance() == 0 {
		return
	}
	b := wire.Beat{Worker: l.instance, Withdraw: true, Tell: true}
	_ = p.Send(transport.Message{nil, b.AppendTo(nil)}, nil) // if it has gone, PeerDown tells
}

// heard takes a proxy's status.
func (l *link) heard(h *home, s wire.Status) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.roams || !h.up() {
		return
	}
	h.status, h.told = s, true
	l.settle()
}

// leave takes all slots from a home that is not connected any more. The caller
// holds the lock.
func (l *link) leave(h *home) {
	for _, p := range l.places {
		if p.home == h {
			p.home, p.want, p.asked = nil, nil, nil
		}
	}
	if !h.named {
		l.remove(h)
	}
	l.settle()
}

// takes reports whether slots may be at home there. The caller holds the lock.
func (l *link) takes(h *home) bool {
	if !h.up() || h.prime && len(l.homes) > 1 {
		return false
	}
	instance := h.conns[0].peer.Instance()
	for _, o := range l.homes {
		if o == h {
			break
		}
		if o.up() && instance != 0 && o.conns[0].peer.Instance() == instance {
			return false // the same proxy, by another name or address
		}
	}
	return true
}

// settle gives a home to slots that have none, and moves some if that is good for
// the stage. The caller holds the lock.
func (l *link) settle() {
	if l.cut {
		return
	}
	away, homeless := 0, 0
	for _, h := range l.homes {
		if h.named && !h.up() {
			away++
		}
	}
	for _, p := range l.places {
		if p.want != nil && !l.takes(p.want) {
			p.want = nil
		}
		if p.home == nil && !p.leaving {
			homeless++
		}
	}
	if homeless > 0 && (away == 0 || l.ticks >= settleTicks) {
		l.spread()
	}
	if len(l.homes) > 1 {
		l.rebalance()
	}
}

// spread gives each slot without a home one: the one with the fewest of ours.
// Where several have as few, the slot's number and the process's decide, so that
// many processes of one slot each do not choose the same. The caller holds the
// lock.
func (l *link) spread() {
	own := make(map[*home]int)
	for _, p := range l.places {
		if p.home != nil {
			own[p.home]++
		}
	}
	for _, p := range l.places {
		if p.home != nil || p.leaving {
			continue
		}
		if h := l.emptiest(own, p.number); h != nil {
			p.home = h
			own[h]++
			p.told = nil
			p.tell()
		}
	}
}

// emptiest returns the home with the fewest of our slots, nil if none takes any.
func (l *link) emptiest(own map[*home]int, number int) (best *home) {
	first := int((l.instance>>16 + uint64(number)) % uint64(len(l.homes)))
	better := func(h *home) bool {
		if bad, was := l.drains(h), l.drains(best); bad != was {
			return was
		}
		return own[h] < own[best]
	}
	for i := range l.homes {
		if h := l.homes[(first+i)%len(l.homes)]; l.takes(h) && (best == nil || better(h)) {
			best = h
		}
	}
	return best
}

// drains reports whether a proxy is about to end, or is none of the stage's any
// more.
func (l *link) drains(h *home) bool { return !h.named || h.told && h.status.Draining }

// rebalance moves slots to where they are needed. The caller holds the lock.
func (l *link) rebalance() {
	all := make([]view, len(l.homes))
	index := make(map[*home]int, len(l.homes))
	for i, h := range l.homes {
		index[h] = i
		s := &h.status
		all[i] = view{
			usable: h.told && l.takes(h), draining: l.drains(h),
			slots: int(s.Slots), idle: int(s.Idle), queued: int(s.Queued),
		}
		if all[i].starving() {
			l.calm = 0
		}
	}
	for _, p := range l.places {
		switch {
		case p.home == nil || p.leaving:
		case p.want != nil:
			all[index[p.want]].coming++
		default:
			all[index[p.home]].own++
		}
	}
	if l.pause > 0 {
		return
	}
	m, any := plan(all, l.calm, rand.Float64)
	l.pause = m.pause
	if any {
		l.move(l.homes[m.from], l.homes[m.to], m.count, m.busy)
	}
}

// move sends slots from one home to another, idle ones first. The caller holds
// the lock.
func (l *link) move(from, to *home, count int, busy bool) {
	for _, at := range [...]bool{true, false} {
		for _, p := range l.places {
			if count == 0 || !at && !busy {
				return
			}
			if p.home == from && p.want == nil && !p.leaving && (p.state == idle) == at {
				p.want = to
				p.tell()
				count--
			}
		}
	}
}
