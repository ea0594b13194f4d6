package cluster

import (
	"fmt"

	"github.com/butterfly-zmq/butterfly/httpfront"
	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// edge fills in what a graph says of whom a front speaks to, and checks what
// its routes say of it.
func edge(c *httpfront.Config, f *graph.Front, routes []graph.Route) (err error) {
	for i := range routes {
		if _, err := corsPolicy(&routes[i].CORS); err != nil {
			return err
		}
	}
	c.TLS = frontTLS(&f.TLS)
	c.TrustedProxies = f.TrustedProxies
	c.Forwarded = forwarded(f)
	c.RequestIDHeader = f.RequestIDHeader
	c.RequestIDFromAll = f.RequestIDFrom == graph.RequestIDFromEveryone
	c.Compression = compression(&f.Compress)
	c.CORS, err = corsPolicy(&f.CORS)
	return err
}

func compression(c *graph.Compress) *httpfront.Compression {
	if c.IsZero() {
		return nil
	}
	to := &httpfront.Compression{MinSize: int(c.MinSize), Types: c.Types}
	for _, e := range c.Encodings {
		to.Encodings = append(to.Encodings, string(e))
	}
	return to
}

// corsPolicy is nil where the graph says nothing.
func corsPolicy(c *graph.CORS) (*httpfront.CORSPolicy, error) {
	if c.IsZero() {
		return nil, nil
	}
	p, err := httpfront.NewCORSPolicy(httpfront.CORS(*c))
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	return p, nil
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
