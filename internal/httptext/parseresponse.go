package httptext

import (
	"bytes"
	"strconv"
)

// ParseResponse reads a response frame. The response keeps text, which must
// not change any more.
//
// It takes what prime_server's workers and hand-written ones send: HTTP/1.0 or
// 1.1, any reason phrase or none, chunked bodies (decoded), no Content-Length
// (the body is the rest of the frame). Hop-by-hop fields are left out. A body
// that is shorter or longer than announced is an error, as is all else: the
// error is a *SyntaxError or *VersionError.
func ParseResponse(text []byte) (*Response, error) { return parseResponse(text, false) }

// ParseHeadResponse reads a response frame in answer to a HEAD request, which
// may announce a length and has no body. The announced length is kept in the
// header.
func ParseHeadResponse(text []byte) (*Response, error) { return parseResponse(text, true) }

func parseResponse(text []byte, head bool) (*Response, error) {
	b := block{text: text}
	status, err := b.statusLine()
	if err != nil {
		return nil, err
	}
	r := &Response{Status: status}
	f, err := r.readFields(&b)
	if err != nil {
		return nil, err
	}
	r.Body, err = responseBody(text, b.at, &f, head || bodiless(status))
	if err != nil {
		return nil, err
	}
	if head && f.hasLength {
		r.Header.Add("Content-Length", strconv.FormatInt(f.length, 10))
	}
	r.unsized = head && !f.hasLength
	return r, nil
}

func (b *block) statusLine() (int, error) {
	line, err := b.line()
	if err != nil {
		return 0, err
	}
	version, rest, _ := bytes.Cut(line, []byte(" "))
	if _, err := parseVersion(version); err != nil {
		return 0, err
	}
	code, reason, _ := bytes.Cut(rest, []byte(" "))
	status, err := parseLength(code)
	switch {
	case err != nil || len(code) != 3 || status < 200:
		return 0, &SyntaxError{len(version) + 1, "the status line has no final status code"}
	case !isValue(reason):
		return 0, &SyntaxError{len(version) + 5, "the reason phrase holds a control character"}
	}
	return int(status), nil
}

// readFields reads the head's fields into the response, the end-to-end ones.
func (r *Response) readFields(b *block) (framing, error) {
	var f framing
	for {
		start := b.at
		name, value, err := b.field()
		if err != nil {
			return f, err
		}
		if name == nil {
			break
		}
		k := kindOf(name)
		if err := f.note(k, value, start); err != nil {
			return f, err
		}
		r.failed = r.failed || k == failure
		if k.travels() {
			if r.Header == nil {
				r.Header = make(Header, 0, 8)
			}
			r.Header = append(r.Header, Field{view(name), view(value)})
		}
	}
	if f.named != "" {
		r.Header = r.Header.without(&f)
	}
	return f, nil
}

// without returns the fields that Connection does not name.
func (h Header) without(f *framing) Header {
	kept := h[:0]
	for _, field := range h {
		if !f.names(bytesOf(field.Name)) {
			kept = append(kept, field)
		}
	}
	return kept
}

// responseBody cuts the body out of text. A body where none belongs is
// dropped, if it is as long as announced.
func responseBody(text []byte, at int, f *framing, none bool) ([]byte, error) {
	body := text[at:len(text):len(text)]
	switch {
	case len(body) == 0 && (none || !f.chunked && f.length == 0):
		return nil, nil
	case f.chunked && f.hasLength:
		return nil, &SyntaxError{at, "both Transfer-Encoding and Content-Length frame the body"}
	case f.hasLength && int64(len(body)) < f.length:
		return nil, &SyntaxError{len(text), "the body is shorter than its Content-Length"}
	case f.hasLength && int64(len(body)) > f.length:
		return nil, &SyntaxError{at + int(f.length), "there are bytes behind the message"}
	case none:
		return nil, nil
	case f.chunked:
		return dechunk(text, at)
	}
	return body, nil
}
