package httptext

import "bytes"

// ParseRequest reads a request frame. The request keeps text, which must not
// change any more. The error is a *SyntaxError or *VersionError.
//
// Targets that start with %2F come from a prime_server front and are restored
// to what a client would have sent.
func ParseRequest(text []byte) (*Request, error) {
	b := block{text: text}
	r, err := b.requestLine()
	if err != nil {
		return nil, err
	}
	start := b.at
	f, err := b.skipFields()
	if err != nil {
		return nil, err
	}
	r.raw = view(text[start:b.at])
	r.keepAlive, r.close = f.keepAlive, f.close
	r.frame[0], r.bodyAt = text, b.at
	r.Target = fromPrime(r.Target)
	if r.apart = f.apart && f.hasLength && f.length > 0 && b.at == len(text); r.apart {
		return r, nil
	}
	r.Body, err = requestBody(text, b.at, &f)
	return r, err
}

func (b *block) requestLine() (*Request, error) {
	line, err := b.line()
	if err != nil {
		return nil, err
	}
	method, rest, _ := bytes.Cut(line, []byte(" "))
	target, version, _ := bytes.Cut(rest, []byte(" "))
	switch {
	case !isToken(method):
		return nil, &SyntaxError{0, "the request line does not start with a method"}
	case !isTarget(target):
		return nil, &SyntaxError{len(method) + 1, "the request line has no target"}
	}
	minor, err := parseVersion(version)
	if err != nil {
		return nil, err
	}
	return &Request{Method: knownMethod(method), Target: view(target), Minor: minor}, nil
}

// knownMethod returns a constant for the usual methods, which compare faster.
func knownMethod(m []byte) string {
	switch string(m) {
	case "GET":
		return "GET"
	case "HEAD":
		return "HEAD"
	case "POST":
		return "POST"
	}
	return view(m)
}

// skipFields reads to the end of the head and returns what it says.
func (b *block) skipFields() (framing, error) {
	var f framing
	for {
		start := b.at
		name, value, err := b.field()
		if err != nil || name == nil {
			return f, err
		}
		if err := f.note(kindOf(name), value, start); err != nil {
			return f, err
		}
	}
}

// requestBody cuts the body out of text. Content-Length comes first: a
// prime_server front decodes chunks, adds a length, and leaves the
// Transfer-Encoding where it was.
func requestBody(text []byte, at int, f *framing) ([]byte, error) {
	body := text[at:len(text):len(text)]
	switch {
	case f.hasLength && int64(len(body)) < f.length:
		return nil, &SyntaxError{len(text), "the body is shorter than its Content-Length"}
	case f.hasLength && int64(len(body)) > f.length:
		return nil, &SyntaxError{at + int(f.length), "there are bytes behind the message"}
	case len(body) == 0:
		return nil, nil
	case f.chunked && !f.hasLength:
		return dechunk(text, at)
	}
	return body, nil
}

// parseFields returns the end-to-end fields of header lines known to be good.
func parseFields(raw string) Header {
	f, _ := (&block{text: bytesOf(raw)}).skipFields()
	h := make(Header, 0, bytes.Count(bytesOf(raw), []byte("\n")))
	b := block{text: bytesOf(raw)}
	for {
		name, value, err := b.field()
		if err != nil || name == nil {
			return h
		}
		if kindOf(name).travels() && (f.named == "" || !f.names(name)) {
			h = append(h, Field{view(name), view(value)})
		}
	}
}
