package httpfront

import "bytes"

// The parameters of Forwarded that are read.
const (
	forParam = iota
	protoParam
	hostParam
	forwardedParams
)

// forwardedElement is what one proxy says.
type forwardedElement struct{ by [forwardedParams][]byte }

// parseForwarded reads Forwarded fields (RFC 7239, section 4):
//
//	element *( "," element ), element = [ pair ] *( ";" [ pair ] ),
//	pair = token "=" ( token / quoted-string )
//
// Values outside quotes may hold more than tokens have, as addresses with a port
// that many write so.
func parseForwarded(values [][]byte) ([]forwardedElement, bool) {
	var all []forwardedElement
	for _, rest := range values {
		for {
			e, after, ok := cutElement(rest)
			if !ok {
				return nil, false
			}
			all = append(all, e)
			if after == nil {
				break
			}
			rest = after
		}
	}
	return all, true
}

// cutElement reads the first element, and returns what is behind its comma; nil
// where there is none.
func cutElement(s []byte) (e forwardedElement, after []byte, ok bool) {
	for {
		s = bytes.TrimLeft(s, " \t")
		switch {
		case len(s) == 0:
			return e, nil, true
		case s[0] == ',':
			return e, s[1:], true
		case s[0] == ';':
			s = s[1:]
			continue
		}
		name, value, rest, ok := cutPair(s)
		if !ok || !e.note(name, value) {
			return e, nil, false
		}
		if s = bytes.TrimLeft(rest, " \t"); len(s) > 0 && s[0] != ',' && s[0] != ';' {
			return e, nil, false
		}
	}
}

// note takes in a pair, and refuses one that comes twice.
func (e *forwardedElement) note(name, value []byte) bool {
	for i, known := range [forwardedParams]string{"for", "proto", "host"} {
		if bytes.EqualFold(name, []byte(known)) {
			if e.by[i] != nil {
				return false
			}
			e.by[i] = value
		}
	}
	return true
}

// cutPair reads name=value, quoted or not.
func cutPair(s []byte) (name, value, rest []byte, ok bool) {
	name, s, ok = bytes.Cut(s, []byte("="))
	if !ok || len(name) == 0 || bytes.ContainsAny(name, " \t,;\"") {
		return nil, nil, nil, false
	}
	if len(s) == 0 || s[0] != '"' {
		end := bytes.IndexAny(s, " \t,;")
		if end < 0 {
			end = len(s)
		}
		return name, s[:end], s[end:], end > 0 && bytes.IndexByte(s[:end], '"') < 0
	}
	value = make([]byte, 0, len(s))
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return name, value, s[i+1:], true
		case '\\':
			if i++; i == len(s) {
				return nil, nil, nil, false
			}
		}
		value = append(value, s[i])
	}
	return nil, nil, nil, false
}
