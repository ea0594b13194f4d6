package httpfront

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/valyala/fasthttp"
)

// CORS says which pages of other origins may read answers, by the CORS protocol
// of the Fetch standard.
type CORS struct {
	// Origins are those of the pages: https://app.example, https://*.example.com
	// for all below one, null, or "*" alone for all. At least one.
	Origins []string
	// Methods are those that pages may use; empty: all that a route takes.
	Methods []string
	// Headers are the fields that requests may have besides the usual; "*" is
	// any.
	Headers []string
	// Expose are the fields of answers that pages may read besides the usual;
	// "*" is any, without Credentials.
	Expose []string
	// Credentials lets pages send cookies and the like, which not all origins may.
	Credentials bool
	// MaxAge is how long browsers may keep the answer to a preflight; 0: they
	// decide.
	MaxAge time.Duration
}

// CORSPolicy is a CORS that is ready for use; it may be shared.
type CORSPolicy struct {
	origins        map[string]bool
	below          []belowOrigin
	every          bool
	methods        string // "": what was asked for
	headers        string
	anyHeader      bool
	expose, maxAge string
	credentials    bool
}

// belowOrigin is what stands around the star of https://*.example.com.
type belowOrigin struct{ before, behind string }

// NewCORSPolicy validates c.
func NewCORSPolicy(c CORS) (*CORSPolicy, error) {
	p := &CORSPolicy{
		origins: make(map[string]bool), every: slices.Contains(c.Origins, "*"), credentials: c.Credentials,
		methods: strings.Join(c.Methods, ", "), anyHeader: slices.Contains(c.Headers, "*"),
		headers: strings.Join(c.Headers, ", "), expose: strings.Join(c.Expose, ", "),
	}
	switch {
	case len(c.Origins) == 0:
		return nil, errors.New("httpfront: CORS: there are no Origins")
	case p.every && c.Credentials:
		return nil, errors.New("httpfront: CORS: Credentials for all Origins would let every page act as its visitors")
	case slices.Contains(c.Expose, "*") && c.Credentials:
		return nil, errors.New("httpfront: CORS: Expose has no * with Credentials")
	case c.MaxAge < 0:
		return nil, errors.New("httpfront: CORS: MaxAge is negative")
	}
	for _, list := range [...]string{p.methods, p.headers, p.expose} {
		if list != "" && !isTokens([]byte(list)) {
			return nil, fmt.Errorf("httpfront: CORS: %q are no words", list)
		}
	}
	for _, o := range c.Origins {
		if before, behind, star := strings.Cut(o, "*"); star && o != "*" {
			p.below = append(p.below, belowOrigin{before, behind})
		}
		p.origins[o] = true
	}
	if c.MaxAge > 0 {
		p.maxAge = strconv.FormatInt(int64(c.MaxAge/time.Second), 10)
	}
	return p, nil
}

// allows returns what Access-Control-Allow-Origin says to a page of an origin;
// "" is nothing.
func (p *CORSPolicy) allows(origin []byte) string {
	switch {
	case len(origin) == 0:
		return ""
	case p.every:
		return "*"
	case p.origins[string(origin)]:
		return string(origin)
	}
	for _, b := range p.below {
		rest, ok := bytes.CutPrefix(origin, []byte(b.before))
		if name, ends := bytes.CutSuffix(rest, []byte(b.behind)); ok && ends && isName(name) {
			return string(origin)
		}
	}
	return ""
}

// isName reports whether s may stand for the star of an origin, as browsers write
// origins: in small letters, without anything that ends a host.
func isName(s []byte) bool {
	for _, c := range s {
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.') {
			return false
		}
	}
	return len(s) > 0
}

// isTokens reports whether s is a list of words with commas between them.
func isTokens(s []byte) bool {
	for word := range bytes.SplitSeq(s, []byte(",")) {
		h := httptext.Header{{Name: string(bytes.Trim(word, " \t"))}}
		if h.Check() != nil {
			return false
		}
	}
	return true
}

// preflight answers a browser that asks whether a page may make a request, where
// there is a policy for that request, and reports whether it has. It is the
// policy of the route that would take the request, or the front's.
func (x *exchange) preflight(req *httptext.Request) (bool, error) {
	h := &x.ctx.Request.Header
	method := h.Peek("Access-Control-Request-Method")
	if len(method) == 0 || len(h.Peek("Origin")) == 0 {
		return false, nil
	}
	asked := *req
	asked.Method = string(method)
	route, err := x.route(&asked)
	if err == nil && route.CORS != nil {
		x.cors = route.CORS
	}
	switch {
	case x.cors == nil:
		return false, nil
	case err != nil:
		return true, err
	}
	p := x.cors
	r := &httptext.Response{Status: fasthttp.StatusNoContent}
	r.Header.Add("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers")
	if p.allows(h.Peek("Origin")) == "" {
		return true, errOrigin
	}
	x.asks = true
	p.permit(&r.Header, method, h.Peek("Access-Control-Request-Headers"))
	return true, x.send(r)
}

// permit says to a preflight what is allowed.
func (p *CORSPolicy) permit(h *httptext.Header, method, fields []byte) {
	methods := p.methods
	if methods == "" {
		methods = string(method) // it is one that a route takes
	}
	h.Add("Access-Control-Allow-Methods", methods)
	switch {
	case p.anyHeader && len(fields) > 0 && isTokens(fields):
		h.Add("Access-Control-Allow-Headers", string(fields))
	case !p.anyHeader && p.headers != "":
		h.Add("Access-Control-Allow-Headers", p.headers)
	}
	if p.maxAge != "" {
		h.Add("Access-Control-Max-Age", p.maxAge)
	}
}

// policyFields are the fields of answers that are the policy's to say. A second
// one of a handler's would make browsers refuse the answer.
var policyFields = []string{
	"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Expose-Headers",
}

// dress puts the policy's fields into an answer to a request of a page of
// an origin, or of nobody's.
func (p *CORSPolicy) dress(h *httptext.Header, origin []byte, preflight bool) {
	for _, name := range policyFields {
		h.Del(name)
	}
	allowed := p.allows(origin)
	if !p.every { // caches must not give it to others
		addVary(h, "Origin")
	}
	if allowed == "" {
		return
	}
	h.Add("Access-Control-Allow-Origin", allowed)
	if p.credentials {
		h.Add("Access-Control-Allow-Credentials", "true")
	}
	if p.expose != "" && !preflight {
		h.Add("Access-Control-Expose-Headers", p.expose)
	}
}

// addVary says that an answer depends on a field of its request.
func addVary(h *httptext.Header, name string) {
	for _, value := range h.Values("Vary") {
		for element := range strings.SplitSeq(value, ",") {
			if e := strings.TrimSpace(element); e == "*" || strings.EqualFold(e, name) {
				return
			}
		}
	}
	h.Add("Vary", name)
}
