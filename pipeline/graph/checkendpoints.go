package graph

import (
	"fmt"
	"net"
	"strings"
)

// socket is an endpoint or address of the file.
type socket struct {
	owner   *origin
	element Position
	rest    string // path below the owner
	endpointParts
	// machine is the host that others know it by, where that is said apart
	// from what is bound: two of different machines do not meet.
	machine string
	http    bool // clients of the service connect there
}

func (s *socket) problem(message, hint string) Problem {
	return s.owner.below(s.element, s.rest, message, hint)
}

func (s *socket) path() string { return s.owner.path + s.rest }

// checkEndpoints finds sockets that are bound twice, or cannot be told apart by
// those who connect.
func (c *checker) checkEndpoints() {
	var bound, named []socket
	for i := range c.g.Fronts {
		f := &c.g.Fronts[i]
		bound = append(bound, listening(f)...)
		for _, e := range [...]struct {
			rest string
			at   Endpoint
		}{{".loopback", f.Loopback}, {".interrupt", f.Interrupt}} {
			b, n := sockets(&f.origin, f.Position, e.rest, e.at)
			bound, named = append(bound, b...), append(named, n...)
		}
	}
	for i := range c.g.Stages {
		s := &c.g.Stages[i]
		for n, pair := range s.Pairs() {
			for which, e := range [...]Endpoint{pair.Upstream, pair.Downstream} {
				b, other := sockets(&s.origin, s.Position, s.rest(which, n), e)
				bound, named = append(bound, b...), append(named, other...)
			}
		}
	}
	c.checkNetwork(bound)
	c.compareBound(bound)
	c.checkMetrics(bound)
	c.compareNamed(named)
}

// sockets returns what is bound, and what is connected to where it is another.
func sockets(owner *origin, element Position, rest string, e Endpoint) (bound, named []socket) {
	bind, wrong := splitEndpoint(e.Bind)
	connect, wrongToo := splitEndpoint(e.Connect)
	if wrong != nil || wrongToo != nil { // absent, or reported
		return nil, nil
	}
	s := socket{owner: owner, element: element, rest: rest, endpointParts: bind}
	if e.Bind == e.Connect {
		return []socket{s}, nil
	}
	s.machine = strings.ToLower(connect.host)
	s.rest = rest + ".bind"
	other := s
	other.rest, other.endpointParts = rest+".connect", connect
	return []socket{s}, []socket{other}
}

// listening returns the address of a front for HTTP, unless it is any free port.
func listening(f *Front) []socket {
	host, port, err := net.SplitHostPort(f.Listen)
	if err != nil || port == "0" {
		return nil
	}
	if host == "" {
		host = "*"
	}
	s := socket{owner: &f.origin, element: f.Position, rest: ".listen", http: true, endpointParts: endpointParts{scheme: "tcp", host: host, port: port}}
	if bind, _ := splitEndpoint(f.Loopback.Bind); bind.anyHost() {
		connect, _ := splitEndpoint(f.Loopback.Connect)
		s.machine = strings.ToLower(connect.host)
	}
	return []socket{s}
}

// compareBound reports each socket that is bound after another in its place.
func (c *checker) compareBound(bound []socket) {
	byPort := make(map[string][]*socket)
	for i := range bound {
		s := &bound[i]
		key := s.scheme + s.port + s.endpointParts.path
		for _, first := range byPort[key] {
			if s.overlaps(&first.endpointParts) {
				c.clash(s, first)
				break
			}
		}
		byPort[key] = append(byPort[key], s)
	}
}

func (c *checker) clash(s, first *socket) {
	p := s.problem(fmt.Sprintf("%s binds the same, at %v", first.path(), first.place()), "give one of them another port or path")
	if s.machine != "" && first.machine != "" && s.machine != first.machine {
		p.Message += "; the two cannot run on one machine"
		p.Hint = ""
		p.Warning = true
	}
	c.add(p)
}

func (s *socket) place() Position { return s.problem("", "").Position }

// overlaps reports whether two sockets with the same port want the same address.
func (e *endpointParts) overlaps(o *endpointParts) bool {
	return e.scheme == "ipc" || e.anyHost() || o.anyHost() || hostName(e.host) == hostName(o.host)
}

func hostName(host string) string {
	host = strings.ToLower(host)
	if host == "localhost" {
		return "127.0.0.1"
	}
	return host
}

// compareNamed reports each endpoint that leads where another does.
func (c *checker) compareNamed(named []socket) {
	first := make(map[string]*socket)
	for i := range named {
		s := &named[i]
		key := s.scheme + "://" + hostName(s.host) + ":" + s.port + s.endpointParts.path
		if before := first[key]; before != nil {
			c.add(s.problem(fmt.Sprintf("%s leads to the same, at %v", before.path(), before.place()), "give each socket an endpoint of its own"))
			continue
		}
		first[key] = s
	}
}
