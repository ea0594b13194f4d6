package transport

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/mtls"
)

// Resolver looks up the addresses of a host name: a *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// MaxAddresses bounds the endpoints that Names knows at a time. Of a name with
// more addresses those that sort first are taken.
const MaxAddresses = 32

// How often names are looked up: while nothing happens, and at most.
const (
	lookEvery    = 5 * time.Second
	lookNoSooner = time.Second
)

// Names follows endpoints whose hosts may have several addresses, each of them
// another process: of tcp://name:port and tls+tcp://name:port it makes an endpoint for each address. A
// name with one address stays as it is, and so does all else. Addresses of IPv6
// count only where there are none of IPv4: a host that has one of each is one.
type Names struct {
	endpoints []Endpoint
	fixed     bool
	resolver  Resolver
	id        *mtls.Identity // learns the addresses of tls+tcp endpoints; may be nil
	look      chan struct{}
	answers   map[string][]Endpoint // the last good answer for each endpoint; Run's
	failed    map[string]*quietLog  // by endpoint; Run's
}

// NewNames checks the endpoints, which are to be dialed, and acquires nothing. Of
// the options it needs Resolver, TLS and Logger.
func NewNames(endpoints []string, o Options) (*Names, error) {
	if len(endpoints) > MaxAddresses {
		return nil, &EndpointError{
			endpoints[MaxAddresses], fmt.Sprintf("the %dth of one list", MaxAddresses+1), fmt.Sprintf("name %d at most", MaxAddresses),
		}
	}
	o = o.withDefaults()
	n := &Names{
		resolver: o.Resolver, id: o.TLS, look: make(chan struct{}, 1),
		answers: make(map[string][]Endpoint), failed: make(map[string]*quietLog),
	}
	if n.resolver == nil {
		n.resolver = net.DefaultResolver
	}
	for _, s := range endpoints {
		e, err := ParseEndpoint(s)
		if err == nil {
			err = e.checkDial()
		}
		if err != nil {
			return nil, err
		}
		n.endpoints = append(n.endpoints, e)
		n.failed[s] = &quietLog{logger: o.Logger, message: "name not found", endpoint: s}
	}
	n.fixed = o.Unfollowed || !slices.ContainsFunc(n.endpoints, named)
	return n, nil
}

// Fixed reports whether there is nothing to follow, as where no endpoint has a
// name.
func (n *Names) Fixed() bool { return n.fixed }

// named reports whether an endpoint has a host name.
func named(e Endpoint) bool {
	if !e.overTCP() {
		return false
	}
	host, _ := e.hostPort()
	_, err := netip.ParseAddr(host)
	return err != nil
}

// Run looks the names up, every few seconds, until ctx ends. It calls tell with
// all endpoints when they are known, and again when they have changed; a name
// that cannot be looked up keeps its last addresses. Calls are sequential.
func (n *Names) Run(ctx context.Context, tell func(endpoints []string)) {
	var last []string
	for {
		if now := n.resolve(ctx); last == nil || !slices.Equal(now, last) {
			tell(now)
			last = now
		}
		if n.Fixed() || !sleep(ctx.Done(), lookNoSooner) {
			<-ctx.Done()
			return
		}
		timer := time.NewTimer(lookEvery - lookNoSooner)
		select {
		case <-ctx.Done():
		case <-n.look:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// Look has the names looked up soon: a connection was lost. It does not block.
func (n *Names) Look() {
	select {
	case n.look <- struct{}{}:
	default:
	}
}

// resolve returns what the endpoints stand for now.
func (n *Names) resolve(ctx context.Context) []string {
	var all []string
	for _, e := range n.endpoints {
		for _, at := range n.addresses(ctx, e) {
			if s := at.String(); !slices.Contains(all, s) && len(all) < MaxAddresses {
				all = append(all, s)
			}
		}
	}
	return all
}

// addresses returns what an endpoint stands for.
func (n *Names) addresses(ctx context.Context, e Endpoint) []Endpoint {
	if n.fixed || !named(e) {
		return []Endpoint{e}
	}
	ctx, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	host, port := e.hostPort()
	addrs, err := n.resolver.LookupNetIP(ctx, "ip", host)
	switch known := n.answers[e.String()]; {
	case err == nil && len(addrs) > 0:
		n.answers[e.String()] = several(e, addrs, port)
		n.introduce(e)
	case known == nil:
		return []Endpoint{e} // whoever dials says what is wrong
	default:
		n.failed[e.String()].warn(e.String(), fmt.Errorf("its last %d addresses stand: %w", len(known), err))
	}
	return n.answers[e.String()]
}

// introduce has the addresses of an endpoint be known for what it is.
func (n *Names) introduce(e Endpoint) {
	var all []string
	for _, at := range n.answers[e.String()] {
		all = append(all, at.String())
	}
	n.id.Stand(e.String(), all)
}

// several returns the endpoints of a host's addresses, the name itself if it has
// but one.
func several(name Endpoint, addrs []netip.Addr, port string) []Endpoint {
	var four, six []netip.Addr
	for _, a := range addrs {
		if a = a.Unmap(); a.Is4() {
			four = append(four, a)
		} else {
			six = append(six, a)
		}
	}
	if len(four) == 0 {
		four = six
	}
	slices.SortFunc(four, netip.Addr.Compare)
	four = slices.Compact(four)
	if len(four) == 1 {
		return []Endpoint{name}
	}
	var all []Endpoint
	for _, a := range four {
		all = append(all, Endpoint{name.Scheme, net.JoinHostPort(a.String(), port)})
	}
	return all
}
