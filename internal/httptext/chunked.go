package httptext

import "errors"

// ErrOverhead says that the extensions and trailers of a chunked body are
// longer than its reader wants them.
var ErrOverhead = errors.New("httptext: chunk extensions and trailers are too long")

// maxSizeDigits bounds the digits of a chunk's size: what they say fits an
// int64, leading zeros or not.
const maxSizeDigits = 15

// Chunks reads the framing of a chunked body (RFC 9112, section 7.1) that
// comes in pieces: Next reads framing until data is due, and Took is told of
// data taken. Extensions and trailers are checked and dropped.
//
// It takes what the grammar says, and nothing that others read in another way:
// no bare line feeds, signs, prefixes, blanks behind a size, control
// characters, folded lines. The zero value, but for MaxExtra, is ready.
type Chunks struct {
	// MaxExtra bounds the bytes of extensions and trailers together.
	MaxExtra int

	state  chunkState
	digits int
	extra  int
	left   int64 // of the chunk's data
}

// Left returns how many bytes of data are due now.
func (c *Chunks) Left() int64 {
	if c.state != chunkData {
		return 0
	}
	return c.left
}

// Done reports whether the whole body has been read.
func (c *Chunks) Done() bool { return c.state == chunksDone }

// Took says that n bytes of data were taken, at most Left.
func (c *Chunks) Took(n int) {
	if c.left -= int64(n); c.left == 0 {
		c.state = chunkDataCR
	}
}

// Next reads framing from the start of text until data is due, the body has
// ended, or text has, and returns how many bytes it was. The error is a
// *SyntaxError, with its offset in text, or ErrOverhead.
func (c *Chunks) Next(text []byte) (int, error) {
	for i, b := range text {
		if c.state == chunkData || c.state == chunksDone {
			return i, nil
		}
		if !c.step(b) {
			return i, &SyntaxError{i, "the body is not chunked as it should be"}
		}
		if c.state >= chunkExtra {
			if c.extra++; c.extra > c.MaxExtra {
				return i, ErrOverhead
			}
		}
	}
	return len(text), nil
}

// dechunk decodes a chunked body that is all of text from at on. The result is
// a new slice no longer than text.
func dechunk(text []byte, at int) ([]byte, error) {
	c := Chunks{MaxExtra: len(text)}
	body := make([]byte, 0, len(text)-at)
	for !c.Done() {
		n, err := c.Next(text[at:])
		if err != nil {
			return nil, &SyntaxError{at + n, "the body is not chunked as it should be"}
		}
		at += n
		if !c.Done() && int64(len(text)-at) <= c.Left() {
			return nil, &SyntaxError{len(text), "the chunked body ends too soon"}
		}
		n = int(c.Left())
		body = append(body, text[at:at+n]...)
		at += n
		if n > 0 {
			c.Took(n)
		}
	}
	if at < len(text) {
		return nil, &SyntaxError{at, "there are bytes behind the message"}
	}
	return body, nil
}
