package graph

import (
	"net"
	"slices"
	"strings"
	"time"
)

// CORS says which pages of other origins may read answers; the zero value says
// nothing.
type CORS struct {
	// Origins are like https://app.example, https://*.example.com, null, or * for
	// all.
	Origins []string
	// Methods are those that pages may use; empty: those that routes take.
	Methods []string
	// Headers are the fields that requests may have besides the usual, Expose
	// those of answers that pages may read; * is any.
	Headers, Expose []string
	// Credentials lets pages send cookies and the like.
	Credentials bool
	// MaxAge is how long browsers may keep the answer to a preflight; 0: they
	// decide.
	MaxAge time.Duration
}

// IsZero reports whether the file says nothing.
func (c *CORS) IsZero() bool { return len(c.Origins) == 0 }

func corsKeys() []key[CORS] {
	return []key[CORS]{
		field("origins", list(pageOrigin(), true), func(c *CORS) *[]string { return &c.Origins }, "",
			"origins of the pages, like https://app.example or https://*.example.com; * is all").must(),
		field("methods", list(method(), true), func(c *CORS) *[]string { return &c.Methods }, "",
			"methods that pages may use; absent: those that routes take"),
		field("headers", list(fieldName(), true), func(c *CORS) *[]string { return &c.Headers }, "",
			"header fields that requests may have besides the usual; * is any"),
		field("expose", list(fieldName(), true), func(c *CORS) *[]string { return &c.Expose }, "",
			"header fields of answers that pages may read besides the usual; * is any"),
		field("credentials", truth(), func(c *CORS) *bool { return &c.Credentials }, "",
			"whether pages may send cookies and the like"),
		field("max_age", span{least: time.Second}.kind(), func(c *CORS) *time.Duration { return &c.MaxAge }, "",
			"how long browsers may keep the answer to a preflight; absent: they decide"),
	}
}

const originPattern = `^(\*|null|https?://(\*\.)?[a-z0-9._:\[\]-]+)$`

// pageOrigin is the origin of a page, as browsers write it.
func pageOrigin() kind[string] {
	return word("an origin", schema{"type": "string", "pattern": originPattern}, func(s string) (string, *flaw) {
		const hint = "write scheme and host as browsers do, like https://app.example or https://*.example.com"
		if s == "*" || s == "null" {
			return s, nil
		}
		scheme, rest, found := strings.Cut(s, "://")
		name := strings.TrimPrefix(rest, "*.")
		host, port := name, ""
		if h, p, err := net.SplitHostPort(name); err == nil {
			host, port = h, p
		}
		switch {
		case !found || scheme != "http" && scheme != "https" || s != strings.ToLower(s):
			return "", flawf(hint, "%q is no origin", brief(s))
		case host == "" || strings.ContainsAny(name, "/?#@* ") || !isHost(strings.Trim(host, "[]")) || port != "" && !isPort(port):
			return "", flawf(hint, "%q is no origin", brief(s))
		case scheme == "http" && port == "80", scheme == "https" && port == "443":
			return "", flawf("leave it out", "%q has the usual port, which browsers do not write", brief(s))
		}
		return s, nil
	})
}

// checkCORS compares what an element says of pages of other origins. at is where
// the element is.
func (c *checker) checkCORS(o *origin, at Position, cors *CORS) {
	add := func(rest, message, hint string) { c.add(o.below(at, ".cors"+rest, message, hint)) }
	every := slices.Contains(cors.Origins, "*")
	switch {
	case every && len(cors.Origins) > 1:
		add(".origins", "* is every origin", "leave the others out, or it")
	case every && cors.Credentials:
		add(".credentials", "with every origin any page could act as its visitors", "name the origins")
	case slices.Contains(cors.Expose, "*") && cors.Credentials:
		add(".expose", "with credentials browsers do not take * for any field", "name the fields")
	}
}

func (m mapping) cors(c *CORS) {
	if c.IsZero() {
		return
	}
	below := m.mapping("cors")
	below.list("origins", c.Origins)
	below.list("methods", c.Methods)
	below.list("headers", c.Headers)
	below.list("expose", c.Expose)
	if c.Credentials {
		below.add("credentials", literal("!!bool", "true"))
	}
	below.duration("max_age", c.MaxAge)
}
