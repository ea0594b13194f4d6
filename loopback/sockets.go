package loopback

import "github.com/butterfly-zmq/butterfly/internal/transport"

// Sockets returns what the socket has: nothing before Ready.
func (b *binding) Sockets() transport.Stats {
	if l := b.listener.Load(); l != nil {
		return l.Stats()
	}
	return transport.Stats{}
}

// Sockets returns what the connections to all fronts have.
func (s *Sender) Sockets() (all transport.Stats) {
	for _, l := range s.fronts {
		all = all.Plus(l.dialer.Stats())
	}
	return all
}

// Sockets returns what the connections to all fronts have.
func (s *Subscriber) Sockets() (all transport.Stats) {
	for _, d := range s.dialers {
		all = all.Plus(d.Stats())
	}
	return all
}

// Sockets returns what the connection to the proxy has, and what waits for it to
// come.
func (r *Remote) Sockets() transport.Stats {
	s := r.dialer.Stats()
	r.mu.Lock()
	defer r.mu.Unlock()
	s.Queued += len(r.waits.jobs)
	s.QueuedBytes += r.waits.bytes
	return s
}
