package cluster

import (
	"net/http"
	"slices"
	"strings"

	"github.com/butterfly-zmq/butterfly/httpfront"
	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// routing sends a front's requests where a graph's routes say.
type routing struct {
	router *graph.Router
	routes []routed // as the graph's
	fields bool     // some route looks at header fields
}

// routed is what becomes of the requests that a route takes.
type routed struct {
	route  httpfront.Route
	compat func() bool // nil: never
}

// destination is a stage that routes lead to.
type destination struct {
	stage  loopback.Stage
	compat func() bool       // whether prime_server's workers may serve it now; nil: never
	served *httpfront.Served // nil: its answers are not counted
}

// newRouting makes the routing of g, of what stage returns of the stages.
func newRouting(g *graph.Graph, stage func(name string) destination) *routing {
	r := &routing{router: graph.NewRouter(g)}
	lanes := make(map[laneKey]*httpfront.Lane)
	for i := range g.Routes {
		route := &g.Routes[i]
		to := stage(route.Stage)
		cors, _ := corsPolicy(&route.CORS) // Service.http has refused bad ones
		r.routes = append(r.routes, routed{
			route: httpfront.Route{
				Stage:    to.stage,
				Timeout:  route.Timeout,
				Repeat:   repeats[route.Repeat],
				Priority: g.Class(route.Priority),

				MaxBody: int64(route.MaxBody), SpoolAbove: int64(route.SpoolAbove), BodyTimeout: route.BodyTimeout,
				Served: to.served, CORS: cors,

				ClientHeader: route.ClientHeader,
				Lane:         laneOf(g, route, stage, lanes),
			},
			compat: to.compat,
		})
		r.fields = r.fields || route.Host != "" || len(route.Header) > 0
	}
	return r
}

// laneKey says which requests share a lane: those that enter by the same stage,
// in the same class.
type laneKey struct {
	stage string
	class uint8
}

// laneOf returns the lane of a route whose stage admits by deadline, from lanes or
// made; nil for others.
func laneOf(g *graph.Graph, route *graph.Route, stage func(string) destination, lanes map[laneKey]*httpfront.Lane) *httpfront.Lane {
	key := laneKey{route.Stage, g.Class(route.Priority)}
	if st, _ := g.Stage(key.stage); st == nil || st.Admission == graph.AdmitQueue || lanes[key] != nil {
		return lanes[key]
	}
	names := behind(g, key.stage)
	if !slices.Contains(names, key.stage) {
		names = append(names, key.stage)
	}
	var way []loopback.Gauge
	for _, name := range names {
		if gauge, ok := stage(name).stage.(loopback.Gauge); ok {
			way = append(way, gauge)
		}
	}
	cyclic := slices.ContainsFunc(names, func(name string) bool { return slices.Contains(behind(g, name), name) })
	lanes[key] = newLane(way, cyclic)
	return lanes[key]
}

// newLane returns the lane of requests whose jobs may come to those stages, to one of
// them more than once if the way is cyclic.
func newLane(way []loopback.Gauge, cyclic bool) *httpfront.Lane {
	return httpfront.NewLane(func() (slots int, backlogged bool) {
		for _, stage := range way {
			n, busy := stage.Busy()
			slots, backlogged = slots+n, backlogged || busy
		}
		return slots, backlogged
	}, cyclic)
}

var repeats = map[graph.Repeat]httpfront.Repeat{
	graph.RepeatSafe:   httpfront.RepeatSafe,
	graph.RepeatAlways: httpfront.RepeatAlways,
	graph.RepeatNever:  httpfront.RepeatNever,
}

// choose is a front's httpfront.Config.Route.
func (r *routing) choose(req *httptext.Request) (httpfront.Route, error) {
	ask := graph.Request{Method: req.Method, Path: graph.PathOf(req.Target)}
	if r.fields {
		header := req.Header()
		ask.Header = header.Lookup
		if ask.Host = authority(req.Target); ask.Host == "" {
			ask.Host, _ = header.Lookup("Host")
		}
	}
	d := r.router.Match(ask)
	switch d.Status {
	case graph.StatusFound:
		chosen := &r.routes[d.Route]
		route := chosen.route
		route.Compat = chosen.compat != nil && chosen.compat()
		return route, nil
	case graph.StatusMethodNotAllowed:
		return httpfront.Route{}, &httpfront.StatusError{
			Status: http.StatusMethodNotAllowed, Message: "the method is not allowed here", Allow: d.Allow.String(),
		}
	}
	return httpfront.Route{}, errNoRoute
}

var errNoRoute = &httpfront.StatusError{Status: http.StatusNotFound, Message: "there is nothing at this address"}

// authority returns the host and port of a request target in absolute form (RFC
// 9112, section 3.2.2), or "".
func authority(target string) string {
	if strings.HasPrefix(target, "/") {
		return ""
	}
	_, rest, absolute := strings.Cut(target, "://")
	if !absolute {
		return ""
	}
	if end := strings.IndexAny(rest, "/?"); end >= 0 {
		rest = rest[:end]
	}
	return rest
}
