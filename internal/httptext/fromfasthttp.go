package httptext

import (
	"errors"

	"github.com/valyala/fasthttp"
)

// ErrExpect says that a request expects something else than 100 (Continue),
// which nobody here can meet.
var ErrExpect = errors.New("httptext: an expectation other than 100-continue")

// Coming says what a request's head announces of its body.
type Coming struct {
	Length   int64 // in bytes; 0 where Chunked
	Chunked  bool
	Continue bool // the client may wait for 100 (Continue) before it sends it
}

// Any reports whether there is a body at all.
func (c Coming) Any() bool { return c.Length > 0 || c.Chunked }

// FromFastHTTP copies a client's head into one buffer of HTTP text, of which
// the request's fields are views; nothing of h is kept. The target is raw,
// header lines are as the client sent them but for those that end here
// (hop-by-hop, named by Connection, lengths, what an Edge drops), and the length
// is our own. The host of a target in absolute form replaces that of Host, as
// RFC 9112, section 3.2.2, wants it: whoever reads the one reads the same as the
// other.
//
// The body is still to come: the request has none, and an Inflow adds it. room
// is how much of it will come at once, to leave place for.
//
// It refuses what fasthttp lets pass and parsers further down might read in
// another way, or the RFCs refuse: see head. The error is a *SyntaxError,
// *VersionError or ErrExpect.
func FromFastHTTP(h *fasthttp.RequestHeader, room int) (*Request, Coming, error) {
	return Edge{}.FromFastHTTP(h, room)
}

// FromFastHTTP is the function of that name for a front that has more to do.
func (e Edge) FromFastHTTP(h *fasthttp.RequestHeader, room int) (*Request, Coming, error) {
	minor, err := parseVersion(h.Protocol())
	if err != nil {
		return nil, Coming{}, err
	}
	method, target, raw := h.Method(), h.RequestURI(), h.RawHeaders()
	authority, ok := checkTarget(target)
	if !ok || !isToken(method) {
		return nil, Coming{}, &SyntaxError{0, "the request line is not well-formed"}
	}
	text := make([]byte, 0, len(method)+len(target)+len(raw)+len(authority)+len(e.Lines)+64+room)
	text = append(append(text, method...), ' ')
	text = append(append(text, target...), " HTTP/1.0\r\n"...)
	text[len(text)-3] += byte(minor)
	start := len(text)

	f := head{edge: e, minor: minor, authority: authority}
	text, err = f.appendFields(text, raw, "")
	if err == nil && f.named != "" {
		again := head{edge: e, minor: minor, authority: authority}
		text, err = again.appendFields(text[:start], raw, f.named)
	}
	if err != nil {
		return nil, Coming{}, err
	}
	r := &Request{Method: knownMethod(text[:len(method)]), Minor: minor, keepAlive: f.keepAlive, close: f.close}
	text = append(text, e.Lines...)
	if f.hasLength || !f.coded && wantsLength(r.Method) {
		text = appendLength(text, f.length)
	}
	text = append(text, "\r\n"...)
	r.bodyAt = len(text)
	return r.views(text, len(method)+1, len(target), start), f.coming(), nil
}

// views makes the request's fields views of its text: the head, and the body
// if it is there.
func (r *Request) views(text []byte, target, length, head int) *Request {
	if r.Method != "GET" && r.Method != "HEAD" && r.Method != "POST" {
		r.Method = view(text[:target-1])
	}
	r.Target = view(text[target : target+length])
	r.raw = view(text[head:r.bodyAt])
	if r.bodyAt < len(text) {
		r.Body = text[r.bodyAt:len(text):len(text)]
	}
	r.frame[0] = text
	return r
}
