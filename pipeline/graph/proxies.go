package graph

import (
	"fmt"
	"strings"
)

// MaxProxies is how many proxies a stage may have.
const MaxProxies = 32

// Pair is where one proxy of a stage is.
type Pair struct {
	// Upstream is where jobs come in, Downstream where workers connect.
	Upstream, Downstream Endpoint
}

// Pairs returns where each proxy of the stage is, one at least. Endpoints that
// the file leaves out are zero.
func (s *Stage) Pairs() []Pair {
	all := append([]Pair{{s.Upstream, s.Downstream}}, s.More...)
	for len(all) < s.Proxies {
		all = append(all, Pair{})
	}
	return all
}

// WithPairs returns the stage with other endpoints for its proxies, of which
// there is one at least.
func (s Stage) WithPairs(all []Pair) Stage {
	s.Upstream, s.Downstream = all[0].Upstream, all[0].Downstream
	s.More = append([]Pair(nil), all[1:]...)
	s.named = [2]int{len(all), len(all)}
	return s
}

// Upstreams returns where jobs come in to be sent there: the endpoints of all
// proxies, with commas between.
func (s *Stage) Upstreams() string {
	return s.connect(func(p Pair) Endpoint { return p.Upstream })
}

// Downstreams returns where workers connect: those of all proxies, likewise.
func (s *Stage) Downstreams() string {
	return s.connect(func(p Pair) Endpoint { return p.Downstream })
}

func (s *Stage) connect(end func(Pair) Endpoint) string {
	var all []string
	for _, p := range s.Pairs() {
		all = append(all, end(p).Connect)
	}
	return strings.Join(all, ",")
}

// ends of a pair, as indexes.
const (
	upstreamEnd = iota
	downstreamEnd
)

// end returns one end of a proxy, by its number from 0, for writing.
func (s *Stage) end(which, n int) *Endpoint {
	up, down := &s.Upstream, &s.Downstream
	if n > 0 {
		for len(s.More) < n {
			s.More = append(s.More, Pair{})
		}
		up, down = &s.More[n-1].Upstream, &s.More[n-1].Downstream
	}
	if which == upstreamEnd {
		return up
	}
	return down
}

// proxyEnds is the key of one end of a stage's proxies: an endpoint, or a list of
// them.
func proxyEnds(name string, which int, doc string) key[Stage] {
	one := endpoints()
	return key[Stage]{
		name: name, doc: doc,
		schema: schema{"anyOf": append(one.schema["anyOf"].([]schema), schema{
			"type": "array", "items": one.schema, "minItems": 1, "maxItems": MaxProxies,
		})},
		read: func(c cursor, s *Stage) bool {
			if !c.isList() {
				e, ok := one.read(c)
				*s.end(which, 0), s.named[which] = e, 1
				return ok
			}
			all, ok := list(one, false).read(c)
			if len(all) > MaxProxies {
				c.problem(fmt.Sprintf("%d are too many: a stage has at most %d proxies", len(all), MaxProxies), "")
				return false
			}
			for n, e := range all {
				*s.end(which, n) = e
			}
			s.named[which] = len(all)
			return ok
		},
	}
}

// checkProxies wants an endpoint of each kind for each proxy, or none.
func (c *checker) checkProxies(s *Stage) {
	add := func(rest, message, hint string) { c.add(s.below(s.Position, rest, message, hint)) }
	for _, n := range s.named {
		if n > 1 && s.Compat != "" {
			add(".upstream", "prime_server's workers know one proxy, and these are several", "name one endpoint")
			return
		}
	}
	up, down := s.named[upstreamEnd], s.named[downstreamEnd]
	switch want := s.Proxies; {
	case s.flawed:
	case want > 1 && s.Compat != "":
		add(".proxies", "prime_server's workers know one proxy", "leave it out")
	case up > 0 && down > 0 && up != down:
		add(".downstream", fmt.Sprintf("upstream names %s, downstream %s", proxies(up), proxies(down)), "each proxy has one of both, in the same order")
	case want > 0 && up > 0 && up != want:
		add(".proxies", fmt.Sprintf("upstream names %s, not %d", proxies(up), want), "name one endpoint for each, or leave proxies out")
	case want > 0 && down > 0 && down != want:
		add(".proxies", fmt.Sprintf("downstream names %s, not %d", proxies(down), want), "name one endpoint for each, or leave proxies out")
	}
}

func proxies(n int) string {
	if n == 1 {
		return "1 proxy"
	}
	return fmt.Sprintf("%d proxies", n)
}

// rest is the path of one end of a proxy below its stage.
func (s *Stage) rest(which, n int) string {
	key := [...]string{".upstream", ".downstream"}[which]
	if s.named[which] > 1 {
		key += fmt.Sprintf("[%d]", n)
	}
	return key
}
