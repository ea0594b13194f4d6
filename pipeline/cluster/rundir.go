package cluster

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// complete returns g with the endpoints that it leaves out as sockets in dir; ""
// leaves them out.
func complete(g *graph.Graph, dir string) (*graph.Graph, error) {
	if dir == "" {
		return g, nil
	}
	var wrong error
	made := func(e graph.Endpoint, name string) graph.Endpoint {
		if !e.IsZero() {
			return e
		}
		socket := "ipc://" + filepath.Join(dir, name)
		err := CheckEndpoint(socket)
		if err == nil && strings.Contains(socket, ",") {
			err = errors.New("commas separate endpoints")
		}
		if err != nil && wrong == nil {
			wrong = fmt.Errorf("cluster: the run directory %s does not do for the socket %s: %w", dir, name, err)
		}
		return graph.Endpoint{Bind: socket, Connect: socket}
	}
	c := *g
	c.Fronts = slices.Clone(g.Fronts)
	for i := range c.Fronts {
		f := &c.Fronts[i]
		f.Loopback = made(f.Loopback, f.Name+".loop")
		f.Interrupt = made(f.Interrupt, f.Name+".int")
	}
	c.Stages = slices.Clone(g.Stages)
	for i := range c.Stages {
		s := &c.Stages[i]
		pairs := s.Pairs()
		for n := range pairs {
			number := ""
			if len(pairs) > 1 {
				number = fmt.Sprintf(".%d", n+1)
			}
			pairs[n].Upstream = made(pairs[n].Upstream, s.Name+".up"+number)
			pairs[n].Downstream = made(pairs[n].Downstream, s.Name+".down"+number)
		}
		*s = s.WithPairs(pairs)
	}
	return &c, wrong
}
