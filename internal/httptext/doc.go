// Package httptext is the one codec between HTTP/1.x text, as it travels
// between fronts, proxies and workers, and typed requests and responses.
//
// Text made here is safe for every peer, prime_server's C++ parser included:
// header lines are validated and have a colon and one blank behind it, the
// version is 1.0 or 1.1, lengths are our own, and nothing hop-by-hop travels.
// Text read here gives a value or a *SyntaxError, whatever it holds.
package httptext

import "fmt"

// SyntaxError says why bytes are no HTTP message.
type SyntaxError struct {
	Offset int    // where, in bytes from the start of the text or header block
	Reason string // what is wrong there
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("httptext: byte %d: %s", e.Offset, e.Reason)
}

// VersionError says that a message is of another version than HTTP/1.0 or 1.1.
type VersionError struct{ Version string }

func (e *VersionError) Error() string {
	return fmt.Sprintf("httptext: version %q, only HTTP/1.0 and HTTP/1.1 are spoken here", e.Version)
}

// FieldError says which part of a message made by hand cannot travel: it would
// end the line, or the header, that it stands in.
type FieldError struct {
	Field  string // "status", "method", "target" or a header field's name
	Reason string
}

func (e *FieldError) Error() string { return fmt.Sprintf("httptext: %s: %s", e.Field, e.Reason) }
