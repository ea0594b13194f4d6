package proxy

import (
	"slices"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// announceInterval is how often the status is told without a change. Changes
// are told at the next tick, and at each that the stage is full: fronts rely on
// that only for as long.
const announceInterval = time.Second

// audience is who hears the stage's status, and what it was told last. The
// proxy's lock guards it.
//
// Every upstream peer that announced butterfly is told, workers of other stages
// too: their connections look like a front's. Peers that did not announce are
// never: a prime_server DEALER does not read, and its queue would grow.
type audience struct {
	peers map[*transport.Peer]struct{}
	told  wire.Status
	at    time.Time
	meter meter
}

// join adds a peer and tells it the status at once.
func (a *audience) join(p *transport.Peer, s wire.Status) {
	if p.Instance() == 0 {
		return
	}
	a.peers[p] = struct{}{}
	_ = p.Send(transport.Message{s.AppendTo(nil)}, nil) // if it has gone, PeerDown tells
}

// leave removes a peer.
func (a *audience) leave(p *transport.Peer) { delete(a.peers, p) }

// tell sends the status to everybody if it is due. A peer that does not read
// misses some.
func (a *audience) tell(now time.Time, s wire.Status) {
	if now.Sub(a.at) < announceInterval && !s.Full && !differ(a.told, s) {
		return
	}
	a.told, a.at = s, now
	m := transport.Message{s.AppendTo(nil)}
	for p := range a.peers {
		_ = p.Send(m, nil)
	}
}

// differ reports whether a change is worth telling at once: what decides on
// readiness and admission, not every job that comes and goes.
func differ(a, b wire.Status) bool {
	return a.Prime != b.Prime || a.Draining != b.Draining || a.Closing != b.Closing || a.Full != b.Full ||
		a.Workers != b.Workers || a.Slots != b.Slots ||
		(a.Idle == 0) != (b.Idle == 0) || (a.Queued == 0) != (b.Queued == 0) || !slices.Equal(a.Stuck, b.Stuck)
}
