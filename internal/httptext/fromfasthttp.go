package httptext

import "github.com/valyala/fasthttp"

// FromFastHTTP copies the request of ctx into one buffer of HTTP text, of
// which the request's fields are views; nothing of ctx is kept. The target is
// raw, header lines are as the client sent them but for those that end here
// (hop-by-hop, named by Connection, lengths), and the length is our own.
//
// It refuses what fasthttp lets pass and parsers further down might read in
// another way: folded lines, blanks in names, Transfer-Encoding that is not
// chunked or comes with a Content-Length (RFC 9112, sections 5.2 and 6.1). The
// error is a *SyntaxError or *VersionError.
func FromFastHTTP(ctx *fasthttp.RequestCtx) (*Request, error) {
	h := &ctx.Request.Header
	minor, err := parseVersion(h.Protocol())
	if err != nil {
		return nil, err
	}
	method, target, raw, body := h.Method(), h.RequestURI(), h.RawHeaders(), ctx.Request.Body()
	if !isToken(method) || !isTarget(target) {
		return nil, &SyntaxError{0, "the request line is not well-formed"}
	}
	text := make([]byte, 0, len(method)+len(target)+len(raw)+len(body)+64)
	text = append(append(text, method...), ' ')
	text = append(append(text, target...), " HTTP/1.0\r\n"...)
	text[len(text)-3] += byte(minor)
	head := len(text)

	text, f, err := appendFields(text, raw, &framing{})
	if err == nil && f.named != "" {
		text, f, err = appendFields(text[:head], raw, &f)
	}
	if err != nil {
		return nil, err
	}
	r := &Request{Method: knownMethod(text[:len(method)]), Minor: minor, keepAlive: f.keepAlive, close: f.close}
	if len(body) > 0 || f.hasLength || f.coded || wantsLength(r.Method) {
		text = appendLength(text, len(body))
	}
	text = append(text, "\r\n"...)
	r.bodyAt = len(text)
	text = append(text, body...)
	return r.views(text, len(method)+1, len(target), head), nil
}

// views makes the request's fields views of its finished text.
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

// appendFields appends the fields of raw that travel. Those that Connection
// names are known only at the end; a second call with what the first found
// leaves them out.
func appendFields(dst, raw []byte, known *framing) ([]byte, framing, error) {
	var f framing
	b := block{text: raw}
	for len(raw) > 0 {
		start := b.at
		name, value, err := b.field()
		if err != nil {
			return dst, f, err
		}
		if name == nil {
			break
		}
		k := kindOf(name)
		if k != endToEnd {
			if err := f.note(k, value, start); err != nil {
				return dst, f, err
			}
			continue
		}
		if known.named != "" && known.names(name) {
			continue
		}
		dst = appendField(dst, name, value)
	}
	if f.coded && f.hasLength {
		return dst, f, &SyntaxError{0, "both Transfer-Encoding and Content-Length frame the body"}
	}
	return dst, f, nil
}
