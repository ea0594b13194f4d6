package httpload

import (
	"bytes"
	"fmt"
	"strconv"
)

// MalformedError says what in an answer is not HTTP/1.x.
type MalformedError struct {
	What string
	Text string // the offending bytes, shortened
}

func (e *MalformedError) Error() string {
	return fmt.Sprintf("malformed answer: %s: %q", e.What, e.Text)
}

func malformed(what string, text []byte) error {
	return &MalformedError{What: what, Text: string(text[:min(len(text), 60)])}
}

// head is what this package needs to know of an answer's header.
type head struct {
	status  int
	length  int64 // of the body; -1 if the header does not say
	chunked bool
	closes  bool // the connection is not to be used again
	retry   bool // it says when to try again
}

// parseHead reads a header from its status line to the last line's CRLF,
// without the empty line. It keeps nothing of text.
func parseHead(text []byte) (head, error) {
	line, rest, _ := bytes.Cut(text, crlf)
	// The fixed places of 'HTTP/1.1 200': RFC 9112, 4.
	if len(line) < 12 || string(line[:7]) != "HTTP/1." || line[8] != ' ' {
		return head{}, malformed("no HTTP/1.x status line", line)
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil || status < 100 || status > 599 {
		return head{}, malformed("no status from 100 to 599", line)
	}
	h := head{status: status, length: -1, closes: line[7] == '0'}
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, crlf)
		if err := h.field(line); err != nil {
			return head{}, err
		}
	}
	return h, nil
}

var crlf = []byte("\r\n")

// field takes one line in. Most lines are none of ours, and the first letter
// says so: that is what keeps the parser cheap.
func (h *head) field(line []byte) error {
	if first := line[0] | 0x20; first != 'c' && first != 't' && first != 'r' {
		return nil
	}
	name, value, _ := bytes.Cut(line, []byte{':'})
	value = bytes.TrimSpace(value)
	switch {
	case bytes.EqualFold(name, []byte("Content-Length")):
		n, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil || n < 0 {
			return malformed("bad Content-Length", value)
		}
		h.length = n
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		if !bytes.EqualFold(value, []byte("chunked")) {
			return malformed("a Transfer-Encoding other than chunked", value)
		}
		h.chunked = true
	case bytes.EqualFold(name, []byte("Retry-After")):
		h.retry = len(value) > 0
	case bytes.EqualFold(name, []byte("Connection")):
		// A list of several options never comes with these two in practice.
		h.closes = bytes.EqualFold(value, []byte("close")) ||
			h.closes && !bytes.EqualFold(value, []byte("keep-alive"))
	}
	return nil
}

// bodiless reports whether no body follows, whatever the header announces.
func (h *head) bodiless(toHead bool) bool {
	return toHead || h.status < 200 || h.status == 204 || h.status == 304
}
