package httptext

import "github.com/valyala/fasthttp"

// Edge is what a front does to its clients' heads besides checking them.
//
// Fields that say for whom a request is made end here in any case: Forwarded,
// X-Real-IP, and all that begin with X-Forwarded-. Whoever reads one believes
// it, so the front's own are the only ones.
type Edge struct {
	// Replaced is the name of a field more that ends here; "" is none.
	Replaced string
	// Lines are header lines of the front's own, which are copied.
	Lines []byte
}

// drops reports whether a field ends here. An underscore is a hyphen to those
// that make variables of names, as CGI does.
func (e *Edge) drops(name []byte) bool {
	const group = "X-Forwarded-"
	switch {
	case len(name) > len(group) && name[0]|0x20 == 'x' && sameField(name[:len(group)], group):
		return true
	case len(name) == 9:
		if sameField(name, "Forwarded") || sameField(name, "X-Real-IP") {
			return true
		}
	}
	return e.Replaced != "" && sameField(name, e.Replaced)
}

// sameField compares names without regard to case, _ being -.
func sameField(name []byte, other string) bool {
	if len(name) != len(other) {
		return false
	}
	for i, c := range name {
		o := other[i]
		if c == '_' {
			c = '-'
		}
		if o == '_' {
			o = '-'
		}
		if lower(c) != lower(o) {
			return false
		}
	}
	return true
}

// HostOf returns the host that a client asks for, unchecked: that of a target in
// absolute form, else of Host. It may be nil.
func HostOf(h *fasthttp.RequestHeader) []byte {
	if authority, _ := checkTarget(h.RequestURI()); authority != nil {
		return authority
	}
	return h.Host()
}

// IsHost reports whether s is a host, with or without port, that a request may
// name.
func IsHost(s []byte) bool { return isHost(s) }

// Free reports whether all fields are well-formed, and of those that a front
// hands on as they are.
func (h Header) Free() bool {
	for i := range h {
		name := bytesOf(h[i].Name)
		if kindOf(name) != endToEnd || (&Edge{}).drops(name) || looksLikeFraming(name) {
			return false
		}
	}
	return h.check() == nil
}
