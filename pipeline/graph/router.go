package graph

import "strings"

// Router matches requests to the routes of a graph. It may be used
// concurrently.
type Router struct {
	routes []matcher
}

// Request is what routes look at.
type Request struct {
	Method string
	// Path is the path as it was sent, not decoded; PathOf returns that of a
	// request target.
	Path string
	// Host is the name asked for, with or without port.
	Host string
	// Header returns the value of a field and whether the request has it, by
	// its name in any capitals. It is called for routes that look at fields;
	// nil has none.
	Header func(name string) (string, bool)
}

// Status is what a Router says of a request.
type Status int

// The statuses are those of HTTP.
const (
	StatusFound            Status = 200
	StatusNotFound         Status = 404
	StatusMethodNotAllowed Status = 405
)

// Decision is where a request goes.
type Decision struct {
	Status Status
	// Route is the index of the route in Graph.Routes; -1 where none matches.
	Route int
	// Allow are the methods for which a route matches, where only the
	// request's method keeps it from one.
	Allow MethodSet
}

// NewRouter returns a router for the routes of g, which has to come from Load
// or to be as if: a pattern that Load would refuse matches nothing.
func NewRouter(g *Graph) *Router {
	r := &Router{routes: make([]matcher, len(g.Routes))}
	for i := range g.Routes {
		r.routes[i] = newMatcher(&g.Routes[i])
	}
	return r
}

// Match finds the first route that takes a request. It does not allocate.
//
// Paths are compared as they were sent, but for escapes of characters that need
// none. Dot segments are not resolved and %2F is no slash: a route that guards
// something should not rely on what a worker makes of such a path.
func (r *Router) Match(req Request) Decision {
	method := setOf(req.Method)
	host := hostOnly(req.Host)
	escaped := strings.IndexByte(req.Path, '%') >= 0
	d := Decision{Status: StatusNotFound, Route: -1}
	for i := range r.routes {
		m := &r.routes[i]
		if !m.matches(&req, host, escaped) {
			continue
		}
		if m.methods&method != 0 {
			return Decision{Status: StatusFound, Route: i}
		}
		d.Status, d.Allow = StatusMethodNotAllowed, d.Allow|m.methods
	}
	return d
}

// PathOf returns the path of a request target, not decoded: of /a?b and of
// http://host/a?b it is /a. The target * has the path *.
func PathOf(target string) string {
	path, _, _ := strings.Cut(target, "?")
	if strings.HasPrefix(path, "/") || path == "*" {
		return path
	}
	if _, rest, ok := strings.Cut(path, "://"); ok { // absolute form
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			return rest[i:]
		}
	}
	return "/"
}

// hostOnly returns a host without port, and without the dot of the root behind it.
func hostOnly(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.Contains(host[i:], "]") {
		if strings.HasPrefix(host, "[") || strings.IndexByte(host, ':') == i {
			host = host[:i]
		}
	}
	return strings.TrimSuffix(host, ".")
}

// matches reports whether a request is the route's, its method apart.
func (m *matcher) matches(req *Request, host string, escaped bool) bool {
	if !m.matchesPath(req.Path, escaped) || !m.matchesHost(host) {
		return false
	}
	for _, want := range m.header {
		if req.Header == nil {
			return false
		}
		if value, ok := req.Header(want.name); !ok || value != want.value {
			return false
		}
	}
	return true
}

// matchesPath compares a path as it was sent with the route's, in the form that
// normalPath gives both.
func (m *matcher) matchesPath(path string, escaped bool) bool {
	if m.path == "/" && m.prefix {
		return true
	}
	rest, ok := strings.CutPrefix(path, m.path)
	if !ok && (escaped || m.escaped) {
		rest, ok = cutUnits(path, m.path)
	}
	if !ok || m.path == "" {
		return false
	}
	return rest == "" || m.prefix && (m.path[len(m.path)-1] == '/' || rest[0] == '/')
}

// cutUnits is strings.CutPrefix, character by character of the normal form.
func cutUnits(path, prefix string) (string, bool) {
	for prefix != "" {
		if path == "" {
			return "", false
		}
		want, wantBytes := unit(prefix)
		has, hasBytes := unit(path)
		if want != has {
			return "", false
		}
		prefix, path = prefix[wantBytes:], path[hasBytes:]
	}
	return path, true
}

// matchesHost compares names without regard to capitals.
func (m *matcher) matchesHost(host string) bool {
	switch {
	case m.host == "":
		return true
	case m.host[0] != '.':
		return sameName(m.host, host)
	}
	below := len(host) - len(m.host)
	return below > 0 && sameName(m.host, host[below:])
}

// sameName compares a name in small letters with one in any.
func sameName(small, s string) bool {
	if len(small) != len(s) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != small[i] {
			return false
		}
	}
	return true
}
