package httptext

import (
	"bytes"
	"net/netip"
)

// head is a client's head while it is copied. What it refuses, beyond what
// block.field does, fasthttp lets pass:
//
//   - Transfer-Encoding that is not chunked, or comes with a Content-Length
//     (RFC 9112, section 6.1; fasthttp takes the one and ignores the other)
//   - Content-Length with leading zeros, octal to some
//   - names that become those of framing fields where _ stands for -, as it
//     does to CGI and its successors
//   - a Host that is none, and more or fewer than one (section 3.2; fasthttp
//     asks only that there is something, and takes user names)
//   - expectations that nobody can meet (RFC 9110, section 10.1.1)
//   - line ends without CR, which the front has seen before
type head struct {
	framing
	edge      Edge
	minor     int
	authority []byte // of a target in absolute form; nil: other forms
	hosts     int
	expects   bool // 100 (Continue)
}

// appendFields appends the fields of raw that travel. Those that Connection
// names are known only at the end: a second call, with what the first found as
// named, leaves them out.
func (f *head) appendFields(dst, raw []byte, named string) ([]byte, error) {
	known := framing{named: named}
	if f.authority != nil {
		dst = appendField(dst, []byte("Host"), f.authority)
	}
	b := block{text: raw}
	for len(raw) > 0 {
		start := b.at
		name, value, err := b.field()
		if err != nil {
			return dst, err
		}
		if name == nil {
			break
		}
		k := kindOf(name)
		if k != endToEnd {
			if err := f.check(k, value, start); err != nil {
				return dst, err
			}
			if k != host || f.authority != nil {
				continue
			}
		} else if looksLikeFraming(name) {
			return dst, &SyntaxError{start, "a field's name is that of a framing field to some"}
		} else if f.edge.drops(name) {
			continue
		}
		if named != "" && known.names(name) {
			continue
		}
		dst = appendField(dst, name, value)
	}
	return dst, f.complete()
}

// check takes in a field that is not just handed on.
func (f *head) check(k kind, value []byte, at int) error {
	switch k {
	case host:
		if f.hosts++; f.hosts > 1 || !isHost(value) {
			return &SyntaxError{at, "Host is no host, or comes twice"}
		}
	case contentLength:
		if len(value) > 1 && value[0] == '0' || f.hasLength {
			return &SyntaxError{at, "Content-Length starts with a zero, or comes twice"}
		}
	case expect:
		if f.minor == 0 || len(value) == 0 {
			return nil // nobody expected anything in HTTP/1.0
		}
		if f.expects || !equalFold(value, "100-continue") {
			return ErrExpect
		}
		f.expects = true
	}
	return f.note(k, value, at)
}

// complete checks what only the whole head can show.
func (f *head) complete() error {
	switch {
	case f.hosts == 0 && f.minor > 0:
		return &SyntaxError{0, "there is no Host"}
	case f.coded && f.hasLength:
		return &SyntaxError{0, "both Transfer-Encoding and Content-Length frame the body"}
	case f.coded && f.minor == 0:
		return &SyntaxError{0, "HTTP/1.0 has no Transfer-Encoding"}
	}
	return nil
}

func (f *head) coming() Coming {
	c := Coming{Length: f.length, Chunked: f.chunked}
	c.Continue = f.expects && c.Any()
	return c
}

func looksLikeFraming(name []byte) bool {
	return len(name) == 14 && equalFold(name, "Content_Length") ||
		len(name) == 17 && equalFold(name, "Transfer_Encoding")
}

// checkTarget reports whether a client's target may be handed on, and returns
// the authority of one in absolute form.
//
// Beside the characters of a URI those stand that browsers and people send all
// the same, like braces and quotes. Bytes that are not ASCII do not, nor does a
// fragment: some would cut it off.
func checkTarget(target []byte) (authority []byte, ok bool) {
	for _, c := range target {
		if c <= ' ' || c >= 0x7f || c == '#' {
			return nil, false
		}
	}
	if len(target) == 0 || target[0] == '/' || target[0] == '*' {
		return nil, len(target) > 0
	}
	scheme, rest, absolute := bytes.Cut(target, []byte("://"))
	if !absolute {
		return nil, true // the authority form of CONNECT, which nobody serves
	}
	if end := bytes.IndexAny(rest, "/?"); end >= 0 {
		rest = rest[:end]
	}
	return rest, (equalFold(scheme, "http") || equalFold(scheme, "https")) && isHost(rest)
}

// isHost reports whether s is host and port of an http URI (RFC 9110, section
// 7.2): not empty, without a user, and without the comma that the grammar has
// for names, since two Hosts can be folded into one with it.
func isHost(s []byte) bool {
	if len(s) > 0 && s[0] == '[' {
		address, port, ok := bytes.Cut(s[1:], []byte("]"))
		return ok && isIPv6(address) && (len(port) == 0 || port[0] == ':' && isPort(port[1:]))
	}
	name, port, _ := bytes.Cut(s, []byte(":"))
	for i, c := range name {
		escape := c == '%' && i+2 < len(name) && isHex(name[i+1]) && isHex(name[i+2])
		if !hostByte[c] && !escape {
			return false
		}
	}
	return len(name) > 0 && isPort(port)
}

func isIPv6(s []byte) bool {
	a, err := netip.ParseAddr(view(s))
	return err == nil && a.Is6() && a.Zone() == ""
}

// isPort reports whether s is a port, or the nothing that the grammar allows.
func isPort(s []byte) bool {
	n := 0
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
		if n = 10*n + int(c-'0'); n > 65535 {
			return false
		}
	}
	return true
}
