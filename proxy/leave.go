package proxy

// How a proxy leaves, in ticks. Draining, it has fronts keep their jobs and takes
// those of other stages. Closing, it has all keep theirs: its endpoint is free for
// a successor, and peers that announced themselves end their connections once all
// that they had sent is here.
//
//	            idle for a tick, or drainTicks without  nothing left, peers gone
//	            a group of parts
//	draining ────────────────────────────▶ closing ──────────────────────────▶ over
const (
	// drainTicks is for how many ticks a proxy drains that does not run empty: in
	// a cycle, or a later stage under load, it never might. It stays for groups of
	// parts in any case: new ones go elsewhere, and parts of these may be sent here
	// only.
	drainTicks = 10
	// closeTicks is for how many ticks it bears with peers that do not end their
	// connections.
	closeTicks = 10
)

// leave takes the steps of a Shutdown that are due. The caller holds the lock.
func (p *Proxy) leave() {
	if !p.draining || p.stopping {
		return
	}
	p.leaving++
	calm := p.calm()
	switch {
	case !p.closing && (calm || p.leaving > drainTicks && p.gatherer.Quiet()):
		p.closing, p.leaving = true, 0
		p.up.Refuse()
	case p.closing && p.idle() && (len(p.audience.peers) == 0 || p.leaving > closeTicks):
		p.stopNow()
	}
}

// idle reports whether nothing is queued or held.
func (p *Proxy) idle() bool { return p.balancer.Quiet() && p.gatherer.Quiet() }

// calm reports whether nothing is queued or held and no job came for a whole tick:
// fronts have to hear of the draining first, and a worker that forwards a job to its
// own stage beats on one connection and forwards on another: the beat may be here
// first.
func (p *Proxy) calm() bool {
	calm := p.quiet && p.came == p.cameBefore && p.idle()
	p.quiet, p.cameBefore = p.idle(), p.came
	return calm
}

// stopNow ends Run. The caller holds the lock.
func (p *Proxy) stopNow() {
	if !p.stopping {
		p.stopping = true
		close(p.stop)
	}
}
