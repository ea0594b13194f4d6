package transport

// Stats is what a socket has, and had since it was made.
type Stats struct {
	Peers       int    // connected now
	Connections uint64 // made so far
	Queued      int    // messages accepted and not handed to the kernel yet
	QueuedBytes int64  // of those
	Dropped     uint64 // messages that a subscriber did not get: see Listener.Dropped
}

// Plus returns the sums of both.
func (s Stats) Plus(o Stats) Stats {
	s.Peers += o.Peers
	s.Connections += o.Connections
	s.Queued += o.Queued
	s.QueuedBytes += o.QueuedBytes
	s.Dropped += o.Dropped
	return s
}

// Stats returns what the Listener has. It locks each peer's queue for a moment.
func (l *Listener) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Stats{Peers: len(l.peers), Connections: l.made, Dropped: l.dropped.Load()}
	for p := range l.peers {
		count, bytes := p.out.held()
		s.Queued += count
		s.QueuedBytes += bytes
	}
	return s
}

// Stats returns what the Dialer has.
func (d *Dialer) Stats() Stats {
	s := Stats{Connections: d.made.Load()}
	if d.up.Load() {
		s.Peers = 1
	}
	s.Queued, s.QueuedBytes = d.out.held()
	return s
}

// held returns how much is accepted and not settled.
func (q *queue) held() (count int, bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.count, q.bytes
}
