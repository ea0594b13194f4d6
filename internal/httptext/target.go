package httptext

import "strings"

// Path returns the decoded path of the target, "/" where it has none. Where
// the target's escapes are broken it is returned as it stands.
func (r *Request) Path() string {
	path, _, _ := strings.Cut(r.Target, "?")
	if !strings.HasPrefix(path, "/") {
		if _, rest, ok := strings.Cut(path, "://"); ok { // absolute form
			_, path, _ = strings.Cut(rest, "/")
			path = "/" + path
		}
	}
	if path == "" {
		return "/"
	}
	return unescape(path, false)
}

// RawQuery returns the target behind its question mark, not decoded.
func (r *Request) RawQuery() string {
	_, query, _ := strings.Cut(r.Target, "?")
	return query
}

// Query returns the first value of key in the query, decoded, and whether key
// is there at all. The query is split before it is decoded, so that an escaped
// & or = is part of a value.
func (r *Request) Query(key string) (string, bool) {
	for pair := range strings.SplitSeq(r.RawQuery(), "&") {
		if name, value, _ := strings.Cut(pair, "="); pair != "" && unescape(name, true) == key {
			return unescape(value, true), true
		}
	}
	return "", false
}

// QueryValues returns all values of key in the query, decoded and in order.
func (r *Request) QueryValues(key string) []string {
	var values []string
	for pair := range strings.SplitSeq(r.RawQuery(), "&") {
		if name, value, _ := strings.Cut(pair, "="); pair != "" && unescape(name, true) == key {
			values = append(values, unescape(value, true))
		}
	}
	return values
}

// unescape decodes %XX and, in a query, + for a blank. Broken escapes stay.
func unescape(s string, query bool) string {
	first := strings.IndexByte(s, '%')
	if query {
		first = strings.IndexAny(s, "%+")
	}
	if first < 0 {
		return s
	}
	out := append(make([]byte, 0, len(s)), s[:first]...)
	for i := first; i < len(s); i++ {
		switch {
		case s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			out = append(out, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
		case s[i] == '+' && query:
			out = append(out, ' ')
		default:
			out = append(out, s[i])
		}
	}
	return string(out)
}

// fromPrime turns a target that a prime_server front wrote into a plain one.
// That front decodes the target, splits the query, adds a phantom query to a
// target without one (the whole path taken for a key: /foo?/foo=) and escapes
// all of it, slashes included, which no client does.
func fromPrime(target string) string {
	if len(target) < 3 || !equalFold(target[:3], "%2F") {
		return target
	}
	plain := unescape(target, false)
	path, query, _ := strings.Cut(plain, "?")
	if query == path || query == path+"=" {
		plain = path
	}
	// The front has decoded what the client escaped: what stands here now is
	// meant literally, and must survive the decoding of Path and Query.
	plain = strings.NewReplacer("%", "%25", "+", "%2B").Replace(plain)
	return string(appendTarget(nil, plain))
}

// appendTarget appends target, escaping the bytes that would end it.
func appendTarget(dst []byte, target string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(target) {
		if c := target[i]; c <= ' ' || c == 0x7f {
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= lower(c) && lower(c) <= 'f'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return lower(c) - 'a' + 10
}
