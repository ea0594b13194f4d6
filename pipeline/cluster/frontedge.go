package cluster

import (
	"github.com/butterfly-zmq/butterfly/httpfront"
	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// edge fills in what a graph says of whom a front speaks to.
func edge(c *httpfront.Config, f *graph.Front) {
	c.TLS = frontTLS(&f.TLS)
	c.TrustedProxies = f.TrustedProxies
	c.Forwarded = forwarded(f)
	c.RequestIDHeader = f.RequestIDHeader
	c.RequestIDFromAll = f.RequestIDFrom == graph.RequestIDFromEveryone
}

func forwarded(f *graph.Front) httpfront.Forwarded {
	switch {
	case f.Forwarded == graph.ForwardedRFC7239:
		return httpfront.ForwardedRFC7239
	case f.Forwarded == graph.ForwardedX, f.Forwarded == "" && len(f.TrustedProxies) > 0:
		return httpfront.ForwardedX
	}
	return httpfront.ForwardedNot
}
