package httptext

import (
	"encoding/binary"
	"unsafe"
)

// token marks the bytes of methods and field names (RFC 9110, section 5.6.2).
var token = func() (t [256]bool) {
	for c := byte('0'); c <= '9'; c++ {
		t[c] = true
	}
	for c := byte('a'); c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		t[c] = true
	}
	return t
}()

// hostByte marks the bytes of host names but the percent sign: unreserved ones
// and those that the grammar has for names (RFC 3986, section 3.2.2) but the
// comma.
var hostByte = func() (t [256]bool) {
	for c := range t {
		t[c] = token[c] && c != '#' && c != '%' && c != '^' && c != '`' && c != '|'
	}
	for _, c := range []byte("()=;") {
		t[c] = true
	}
	return t
}()

func isToken[T string | []byte](s T) bool {
	for i := range len(s) {
		if !token[s[i]] {
			return false
		}
	}
	return len(s) > 0
}

// isValue reports whether s may be a field value (RFC 9110, section 5.5): no
// control characters but the tab. It looks at eight bytes at a time.
func isValue(s []byte) bool {
	for len(s) >= 8 {
		if hasControl(binary.LittleEndian.Uint64(s)) && !isValueSlow(s[:8]) {
			return false
		}
		s = s[8:]
	}
	return isValueSlow(s)
}

func isValueSlow(s []byte) bool {
	for _, c := range s {
		if !isText(c) {
			return false
		}
	}
	return true
}

// isText reports whether c may stand in a field value.
func isText(c byte) bool { return c >= ' ' && c != 0x7f || c == '\t' }

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// hasControl reports whether any byte of w is below 0x20 or is 0x7f. It may
// err on the side of true next to such a byte only.
func hasControl(w uint64) bool {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	below := (w - 0x20*ones) &^ w & high
	del := w ^ 0x7f*ones
	return below|(del-ones)&^del&high != 0
}

// isTarget reports whether s may stand between the two blanks of a request
// line. Bytes above 0x7f are no URI, but clients send them.
func isTarget[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return len(s) > 0
}

// view returns b as a string without copying. The bytes must never change:
// text buffers are written once, and of them only the body, which no string
// is a view of, is handed out as bytes.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// bytesOf is the reverse of view: for reading only.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// equalFold compares field names and tokens, which are ASCII.
func equalFold[T, U string | []byte](a T, b U) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// trim removes blanks and tabs on both sides (OWS, RFC 9110, section 5.6.3).
func trim[T string | []byte](s T) T {
	for len(s) > 0 && isBlank(s[0]) {
		s = s[1:]
	}
	for len(s) > 0 && isBlank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}
