package graph

import "strings"

// normalPath returns a path in the form in which paths are compared: escapes of
// unreserved characters decoded, other escapes in capitals, and bytes that have
// no place in a URL escaped.
func normalPath(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); {
		u, n := unit(s[i:])
		i += n
		if u < 0x100 {
			out.WriteByte(byte(u))
			continue
		}
		const digits = "0123456789ABCDEF"
		out.Write([]byte{'%', digits[u>>4&15], digits[u&15]})
	}
	return out.String()
}

// unit returns the first character of a path that is not empty, and the number
// of its bytes: an escape counts as one, 0x100 and its byte, unless it stands
// for an unreserved character, which is the same as that character (RFC 3986,
// section 6.2.2.2). Bytes that should have been escaped count as if they were.
func unit(s string) (u uint16, n int) {
	c := s[0]
	switch {
	case c == '%' && len(s) >= 3 && isHex(s[1]) && isHex(s[2]):
		c = unhex(s[1])<<4 | unhex(s[2])
		if isUnreserved(c) {
			return uint16(c), 3
		}
		return 0x100 | uint16(c), 3
	case c <= ' ' || c >= 0x7f || c == '%':
		return 0x100 | uint16(c), 1
	}
	return uint16(c), 1
}

func isUnreserved(c byte) bool {
	return isLetter(c) || isDigit(c) || c == '-' || c == '.' || c == '_' || c == '~'
}

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

func unhex(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
