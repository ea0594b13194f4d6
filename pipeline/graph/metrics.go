package graph

import (
	"fmt"
	"net"
	"slices"
	"strconv"
)

// Metrics says where processes serve what they measure.
type Metrics struct {
	// Listen is the address as host:port, with an empty host for every address,
	// of a process that is the whole graph. Parts that are processes of their
	// own have the ports behind it, in the order of AllRoles, so that all of
	// them can be on one machine; port 0 is any free one. "" is nowhere.
	Listen string

	Position Position
	origin
}

func metricsKeys() []key[Metrics] {
	return []key[Metrics]{
		field("listen", address(), func(m *Metrics) *string { return &m.Listen }, "",
			"address where metrics are served; parts that are processes of their own take this port and those behind it, in the order of fronts and stages").must(),
	}
}

// MetricsAt returns where a process serves its metrics that is these parts of
// the graph, or all of it where none are named; "" is nowhere. Of several parts
// the first counts.
func (g *Graph) MetricsAt(roles ...Role) string {
	host, text, err := net.SplitHostPort(g.Metrics.Listen)
	port, notNumber := strconv.Atoi(text)
	if err != nil || notNumber != nil || port == 0 || len(roles) == 0 {
		return g.Metrics.Listen
	}
	first := -1
	for _, r := range roles {
		own, _ := g.findRole(r)
		if i := slices.Index(g.AllRoles(), g.Each(own)[0]); i >= 0 && (first < 0 || i < first) {
			first = i
		}
	}
	return net.JoinHostPort(host, strconv.Itoa(port+max(first, 0)))
}

// checkMetrics finds ports for metrics that there are not, or that something else
// binds.
func (c *checker) checkMetrics(bound []socket) {
	m := &c.g.Metrics
	host, text, err := net.SplitHostPort(m.Listen)
	port, _ := strconv.Atoi(text)
	if err != nil || port == 0 { // absent, reported, or any free one
		return
	}
	roles := c.g.AllRoles()
	if last := port + len(roles) - 1; last > 65535 {
		c.add(m.below(m.Position, ".listen",
			fmt.Sprintf("the %d parts of the graph need as many ports, and there is no port %d", len(roles), last), "choose a lower one"))
		return
	}
	if host == "" {
		host = "*"
	}
	for i, role := range roles {
		own := socket{owner: &m.origin, element: m.Position, rest: ".listen"}
		own.endpointParts = endpointParts{scheme: "tcp", host: host, port: strconv.Itoa(port + i)}
		for j := range bound {
			other := &bound[j]
			if other.scheme != own.scheme || other.port != own.port || !own.overlaps(&other.endpointParts) {
				continue
			}
			if i == 0 {
				c.clash(&own, other)
				return
			}
			c.warn(own.problem(fmt.Sprintf("on one machine %v would serve its metrics at port %s, which %s binds, at %v",
				role, own.port, other.path(), other.place()), "leave as many ports free behind it as the graph has parts"))
			return
		}
	}
}
