package httpfront

import (
	"bytes"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
)

// headScan finds the end of a request's head, the first empty line, in bytes
// that come in pieces. Lines end with CRLF and nothing else: fasthttp takes
// bare line feeds, in the request line too, which it does not show afterwards.
// That is all that is looked at: fasthttp reads the head.
type headScan struct {
	size  int  // bytes so far
	lines int  // lines that have ended
	line  int  // bytes of the current line
	last  byte // of the current line
	blank bool // the request line, not ended yet, has one
	done  bool // the head is there
}

// scan takes in b and returns how many of its bytes belong to the head. The
// error is a *httptext.SyntaxError.
func (s *headScan) scan(b []byte) (int, error) {
	at := 0
	for !s.done && at < len(b) {
		n := bytes.IndexByte(b[at:], '\n')
		if n < 0 {
			s.line += len(b) - at
			s.last = b[len(b)-1]
			s.blank = s.blank || s.lines == 0 && bytes.IndexByte(b[at:], ' ') >= 0
			at = len(b)
			break
		}
		if n > 0 {
			s.line += n
			s.last = b[at+n-1]
		}
		if s.line == 0 || s.last != '\r' {
			return at, &httptext.SyntaxError{Offset: s.size + at + n, Reason: "a line ends without CR"}
		}
		at += n + 1
		s.done = s.line == 1
		s.line, s.lines = 0, s.lines+1
	}
	s.size += at
	return at, nil
}

// bound refuses heads that are longer than wanted. The request line is looked
// at first: fasthttp would know only that its buffer is full.
func (s *headScan) bound(maxTarget, maxHead int) error {
	switch {
	case s.lines > 0 || s.size <= maxTarget+lineSlack:
		if s.size > maxHead {
			return errHead
		}
		return nil
	case s.blank:
		return errTarget
	}
	return &httptext.SyntaxError{Reason: "the request line has no end"}
}

// lineSlack is what a request line may have besides its target.
const lineSlack = 64
