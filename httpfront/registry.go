package httpfront

import (
	"net/netip"
	"sync"
)

// registry holds the open connections by running number. Numbers are never
// used again, unlike file descriptors: an event that comes late finds nothing
// instead of another connection.
type registry struct {
	limit, perClient int

	mu      sync.Mutex // guards the fields below
	open    map[uint64]*conn
	clients map[netip.Addr]int // open connections of each
	last    uint64
	crowded uint64 // refused over limit
	greedy  uint64 // refused over perClient

	serving sync.WaitGroup // one for each goroutine that serves a connection
}

func newRegistry(limit, perClient int) registry {
	return registry{
		limit: limit, perClient: perClient,
		open: make(map[uint64]*conn), clients: make(map[netip.Addr]int),
	}
}

// add takes c in, unless too many are open: then it returns errConns or
// errClient.
func (r *registry) add(c *conn) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.open) >= r.limit {
		r.crowded++
		return errConns
	}
	if c.who.IsValid() {
		if r.clients[c.who] >= r.perClient {
			r.greedy++
			return errClient
		}
		r.clients[c.who]++
	}
	r.last++
	c.number = r.last
	r.open[c.number] = c
	return nil
}

func (r *registry) remove(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, c.number)
	if !c.who.IsValid() {
		return
	}
	if r.clients[c.who]--; r.clients[c.who] == 0 {
		delete(r.clients, c.who)
	}
}

// clientOf returns whom a peer is taken for: an IPv4 address, or the first 64
// bits of an IPv6 address, since a single host has the rest to itself (RFC 4291,
// section 2.5.4).
func clientOf(ip netip.Addr) netip.Addr {
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return ip
}

func (r *registry) find(number uint64) *conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open[number]
}

func (r *registry) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.open)
}

// each calls do for every open connection, without the lock.
func (r *registry) each(do func(*conn)) {
	r.mu.Lock()
	all := make([]*conn, 0, len(r.open))
	for _, c := range r.open {
		all = append(all, c)
	}
	r.mu.Unlock()
	for _, c := range all {
		do(c)
	}
}

func (r *registry) wait() { r.serving.Wait() }
