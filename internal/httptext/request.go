package httptext

import "slices"

// Request is an HTTP request. One goroutine uses it at a time.
//
// A request that came as text holds that text, and its fields are views of it:
// the bytes of Body may be read, and replaced by another slice, but not
// changed in place once the request has been handed on.
type Request struct {
	// Method is case-sensitive; "" is GET.
	Method string
	// Target is the request target as the client sent it, not decoded
	// (RFC 9112, section 3.2); "" is /. Path and Query decode it.
	Target string
	// Minor is the minor HTTP version that the client spoke: 0 or 1.
	Minor int
	// Body is the body without any transfer coding; nil where there is none, or
	// where it is Spooled: then it is to be read by Job.Body.
	Body []byte

	raw       string // the header lines of the text
	header    Header
	parsed    bool // header holds the fields of raw
	replaced  bool // header is not what raw holds
	keepAlive bool
	close     bool
	apart     bool      // the body is in a file, which raw names
	frame     [1][]byte // the text that the request came as
	bodyAt    int       // where the body starts in it
}

// NewRequest returns an HTTP/1.1 request. The body is given away.
func NewRequest(method, target string, header Header, body []byte) *Request {
	return &Request{
		Method: method, Target: target, Minor: 1, Body: body,
		header: header, parsed: true, replaced: true,
	}
}

// Header returns the header fields, parsed at the first call. Changes to them
// travel only after SetHeader.
func (r *Request) Header() Header {
	if !r.parsed {
		r.header, r.parsed = parseFields(r.raw), true
	}
	return r.header
}

// SetHeader replaces the header fields.
func (r *Request) SetHeader(h Header) { r.header, r.parsed, r.replaced = h, true, true }

// DropEmptyFields leaves out header fields without a value, at which
// prime_server's parser throws, and reports whether there were any.
func (r *Request) DropEmptyFields() bool {
	kept := slices.DeleteFunc(slices.Clone(r.Header()), func(f Field) bool { return f.Value == "" })
	if len(kept) == len(r.Header()) {
		return false
	}
	r.SetHeader(kept)
	return true
}

// Connection reports what the client's Connection field asked for; both are
// false where it had none.
func (r *Request) Connection() (keepAlive, close bool) { return r.keepAlive, r.close }

// Spooled returns the size of a body that is not in Body, since its front has put
// it in a file, and whether it is so.
func (r *Request) Spooled() (size int64, ok bool) {
	_, size, ok = r.spooled()
	return size, ok
}

// SpooledAs is Spooled with the name of the file.
func SpooledAs(r *Request) (name string, size int64, ok bool) { return r.spooled() }

// spooled reads the lines that say so: they are seldom there, and seldom asked for.
func (r *Request) spooled() (file string, size int64, ok bool) {
	if !r.apart || r.Body != nil {
		return "", 0, false
	}
	b := block{text: bytesOf(r.raw)}
	for {
		name, value, err := b.field()
		if err != nil || name == nil {
			return file, size, file != "" && size > 0
		}
		switch kindOf(name) {
		case apart:
			file = view(value)
		case contentLength:
			size, _ = parseLength(value) // it was checked
		}
	}
}

// Size returns the number of bytes of the request as text.
func (r *Request) Size() int {
	if r.unchanged() {
		return len(r.frame[0])
	}
	return len(r.append(nil))
}

// Frames returns the request as one frame of HTTP/1.x text: the very text it
// came as where nothing was changed since. It implements wire.Payload.
//
// What Check would object to cannot do harm: bytes that do not belong into a
// target are escaped, fields that cannot travel are left out.
func (r *Request) Frames() [][]byte {
	if r.unchanged() {
		return r.frame[:]
	}
	return [][]byte{r.append(nil)}
}

// Check returns a *FieldError for a part that cannot travel as it is.
func (r *Request) Check() error {
	switch {
	case r.Method != "" && !isToken(r.Method):
		return &FieldError{"method", "it is no word"}
	case r.Target != "" && !isTarget(r.Target):
		return &FieldError{"target", "it holds a blank or a control character"}
	case r.Minor < 0 || r.Minor > 1:
		return &FieldError{"version", "it is neither HTTP/1.0 nor HTTP/1.1"}
	}
	return r.Header().check()
}

// unchanged reports whether the text that the request came as still says what
// the fields say. Views of the text compare by their address alone.
func (r *Request) unchanged() bool {
	t := r.frame[0]
	m, n := len(r.Method), len(r.Method)+1+len(r.Target)
	if r.replaced || len(t) <= n+len(" HTTP/1.x") || len(r.Body) != len(t)-r.bodyAt {
		return false
	}
	return string(t[:m]) == r.Method && t[m] == ' ' &&
		string(t[m+1:n]) == r.Target && t[n] == ' ' &&
		int(t[n+len(" HTTP/1.")]-'0') == r.Minor &&
		(len(r.Body) == 0 || &r.Body[0] == &t[r.bodyAt])
}

func (r *Request) append(dst []byte) []byte {
	dst = slices.Grow(dst, len(r.Method)+len(r.Target)+len(r.raw)+len(r.Body)+64)
	dst = append(dst, orElse(r.Method, isToken, "GET")...)
	dst = append(dst, ' ')
	dst = appendTarget(dst, orElse(r.Target, nil, "/"))
	dst = append(dst, " HTTP/1.0\r\n"...)
	if r.Minor != 0 {
		dst[len(dst)-3] = '1'
	}
	for _, f := range r.Header() {
		if kindOf(f.Name).travels() && isToken(f.Name) && isValue(bytesOf(f.Value)) {
			dst = appendField(dst, f.Name, f.Value)
		}
	}
	if name, size, ok := r.spooled(); ok {
		dst = appendField(appendLength(dst, size), spoolField, name)
	} else if len(r.Body) > 0 || wantsLength(r.Method) {
		dst = appendLength(dst, int64(len(r.Body)))
	}
	dst = append(dst, "\r\n"...)
	return append(dst, r.Body...)
}

// orElse returns s if it is there and good, and otherwise the other.
func orElse(s string, good func(string) bool, other string) string {
	if s == "" || good != nil && !good(s) {
		return other
	}
	return s
}

// wantsLength reports whether the method usually comes with a body, so that
// its absence is said (RFC 9110, section 8.6).
func wantsLength(method string) bool {
	return method == "POST" || method == "PUT" || method == "PATCH"
}
