package proxy

import (
	"slices"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// announceInterval is how often the status is told without a change. Changes
// are told at the next tick, and at each that the stage is full: fronts rely on
// that only for as long. That more jobs wait than soon get a slot is told at once:
// under ten times the load a tick lets in as much as is done in a second.
const announceInterval = time.Second

// rushWait is how long jobs have to wait for a slot to be told at once: much less
// than a tick, and so long that stages of cheap jobs, with a queue that comes and
// goes, tell no more often than they did.
const rushWait = tick / 4

// audience is who hears the stage's status, and what it was told last. The
// proxy's lock guards it.
//
// Every upstream peer that announced butterfly is told, workers of other stages
// too: their connections look like a front's. So are workers of this stage that
// ask for it, since their slots may move to another proxy. Peers that did not
// announce are never: a prime_server DEALER does not read, and its queue would
// grow.
type audience struct {
	peers   map[*transport.Peer]struct{}
	workers map[*transport.Peer]struct{} // of this stage
	told    wire.Status
	at      time.Time
	meter   meter
}

// join adds a peer and tells it the status at once.
func (a *audience) join(p *transport.Peer, s wire.Status) {
	if p.Instance() != 0 {
		a.add(a.peers, p, s)
	}
}

// joinWorker does so for a worker of this stage.
func (a *audience) joinWorker(p *transport.Peer, s wire.Status) {
	if p.Instance() != 0 {
		a.add(a.workers, p, s)
	}
}

func (a *audience) add(to map[*transport.Peer]struct{}, p *transport.Peer, s wire.Status) {
	to[p] = struct{}{}
	_ = p.Send(transport.Message{s.AppendTo(nil)}, nil) // if it has gone, PeerDown tells
}

// leave removes a peer.
func (a *audience) leave(p *transport.Peer) {
	delete(a.peers, p)
	delete(a.workers, p)
}

// tell sends the status to everybody if it is due. A peer that does not read
// misses some.
func (a *audience) tell(now time.Time, s wire.Status) {
	moved := len(a.workers) > 0 && shifted(a.told, s)
	if now.Sub(a.at) < announceInterval && !s.Full && !moved && !differ(a.told, s) {
		return
	}
	a.told, a.at = s, now
	m := transport.Message{s.AppendTo(nil)}
	for p := range a.peers {
		_ = p.Send(m, nil)
	}
	for p := range a.workers {
		_ = p.Send(m, nil)
	}
}

// hurry tells everybody that jobs wait, who was told that none do.
func (p *Proxy) hurry(now time.Time) {
	told := &p.audience.told
	if (told.Queued == 0 || told.Idle > 0) && p.balancer.Rush() {
		p.audience.tell(now, p.status(now))
	}
}

// differ reports whether a change is worth telling at once: what decides on
// readiness and admission, not every job that comes and goes.
func differ(a, b wire.Status) bool {
	return a.Prime != b.Prime || a.Draining != b.Draining || a.Closing != b.Closing || a.Full != b.Full ||
		a.Workers != b.Workers || a.Slots != b.Slots ||
		(a.Idle == 0) != (b.Idle == 0) || (a.Queued == 0) != (b.Queued == 0) || !slices.Equal(a.Stuck, b.Stuck)
}

// shifted reports whether a change is worth telling at once to those who spread
// slots over proxies: while jobs wait, twice as many or half as many do.
func shifted(a, b wire.Status) bool {
	return b.Queued > 2*a.Queued || 2*b.Queued < a.Queued
}
