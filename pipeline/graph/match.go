package graph

import "strings"

// matcher is a route prepared for comparing.
type matcher struct {
	path    string // in the form of normalPath, or of what it begins with
	prefix  bool
	escaped bool   // path holds escapes
	host    string // small letters; a leading dot stands for *.
	methods MethodSet
	header  []headerField // sorted by name
}

type headerField struct{ name, value string }

func newMatcher(r *Route) matcher {
	m := matcher{path: normalPath(r.Path), methods: methodSet(r.Methods)}
	if r.Path == "" {
		m.path, m.prefix = normalPath(r.Prefix), true
	}
	m.escaped = strings.Contains(m.path, "%")
	m.host = strings.ToLower(strings.TrimPrefix(r.Host, "*"))
	for _, name := range sortedKeys(r.Header) {
		m.header = append(m.header, headerField{name, r.Header[name]})
	}
	return m
}

// covers reports whether m takes every request that o takes, methods apart.
func (m *matcher) covers(o *matcher) bool {
	return m.coversPath(o) && m.coversHost(o) && m.coversHeader(o)
}

func (m *matcher) coversPath(o *matcher) bool {
	if !m.prefix {
		return !o.prefix && m.path == o.path
	}
	rest, begins := strings.CutPrefix(o.path, m.path)
	return begins && (rest == "" || strings.HasSuffix(m.path, "/") || rest[0] == '/') ||
		m.path == "/" // the target * too
}

func (m *matcher) coversHost(o *matcher) bool {
	switch {
	case m.host == "" || m.host == o.host:
		return true
	case m.host[0] != '.':
		return false
	}
	return len(o.host) > len(m.host) && strings.HasSuffix(o.host, m.host)
}

func (m *matcher) coversHeader(o *matcher) bool {
	for _, want := range m.header {
		found := false
		for _, has := range o.header {
			found = found || strings.EqualFold(has.name, want.name) && has.value == want.value
		}
		if !found {
			return false
		}
	}
	return true
}
