package httptext

import (
	"bytes"
	"strconv"
	"strings"
)

// block reads the lines of a message's head. Lines end with CRLF; a bare LF
// is taken for one, as RFC 9112, section 2.2, allows.
type block struct {
	text []byte
	at   int // start of the next line
}

// line returns the next line without its end.
func (b *block) line() ([]byte, error) {
	n := bytes.IndexByte(b.text[b.at:], '\n')
	if n < 0 {
		return nil, &SyntaxError{len(b.text), "the head ends without an empty line"}
	}
	line := b.text[b.at : b.at+n]
	b.at += n + 1
	return bytes.TrimSuffix(line, []byte("\r")), nil
}

// field returns the next header field, or an empty name at the end of the
// head. Folded lines, blanks before the colon and control characters are
// errors: peers do not agree on what they mean.
func (b *block) field() (name, value []byte, err error) {
	start := b.at
	line, err := b.line()
	if err != nil || len(line) == 0 {
		return nil, nil, err
	}
	colon := bytes.IndexByte(line, ':')
	switch {
	case colon < 0:
		return nil, nil, &SyntaxError{start, "a header line has no colon"}
	case !isToken(line[:colon]):
		return nil, nil, &SyntaxError{start, "a header line does not start with a field name"}
	case !isValue(line[colon+1:]):
		return nil, nil, &SyntaxError{start + colon + 1, "a header value holds a control character"}
	}
	return line[:colon], trim(line[colon+1:]), nil
}

// framing gathers what a head says of its message's body and connection.
type framing struct {
	length    int64 // Content-Length, meaningful where hasLength is set
	hasLength bool
	chunked   bool
	coded     bool // Transfer-Encoding of any kind
	keepAlive bool
	close     bool
	named     string // the fields that Connection names, separated by commas
	apart     bool   // the body is in a file
}

// note takes in one field. offset is where errors are.
func (f *framing) note(k kind, value []byte, offset int) error {
	switch k {
	case connection:
		f.noteConnection(value)
	case contentLength:
		n, err := parseLength(value)
		if err != nil || f.hasLength && n != f.length {
			return &SyntaxError{offset, "Content-Length is no length, or two"}
		}
		f.length, f.hasLength = n, true
	case transferEncoding:
		if f.coded || !equalFold(value, "chunked") {
			return &SyntaxError{offset, "Transfer-Encoding is something else than chunked, once"}
		}
		f.coded, f.chunked = true, true
	case apart:
		f.apart = true
	}
	return nil
}

func (f *framing) noteConnection(value []byte) {
	for option := range strings.SplitSeq(view(value), ",") {
		switch option = trim(option); {
		case equalFold(option, "close"):
			f.close = true
		case equalFold(option, "keep-alive"):
			f.keepAlive = true
		case option != "" && kindOf(option) == endToEnd: // not Host: the next hop needs it
			f.named += option + ","
		}
	}
}

// names reports whether Connection names the field.
func (f *framing) names(name []byte) bool {
	for option := range strings.SplitSeq(f.named, ",") {
		if equalFold(name, option) {
			return true
		}
	}
	return false
}

// parseLength reads a Content-Length: digits only (RFC 9110, section 8.6).
func parseLength(value []byte) (int64, error) {
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0, strconv.ErrSyntax
		}
	}
	return strconv.ParseInt(view(value), 10, 64)
}

// parseVersion returns the minor version of "HTTP/1.0" or "HTTP/1.1".
func parseVersion(v []byte) (int, error) {
	switch string(v) {
	case "HTTP/1.1":
		return 1, nil
	case "HTTP/1.0":
		return 0, nil
	}
	if len(v) == 8 && string(v[:5]) == "HTTP/" && v[6] == '.' {
		return 0, &VersionError{string(v)}
	}
	return 0, &SyntaxError{0, "the line has no HTTP version"}
}

func appendField[T string | []byte](dst []byte, name, value T) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}

func appendLength(dst []byte, n int64) []byte {
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, "\r\n"...)
}
