package httptext

import (
	"bytes"
	"strconv"
)

// dechunk decodes a chunked body (RFC 9112, section 7.1) that is all of text
// from at on. Extensions and trailers are read and dropped. The result is a
// new slice no longer than text.
func dechunk(text []byte, at int) ([]byte, error) {
	b := block{text, at}
	body := make([]byte, 0, len(text)-at)
	for {
		size, err := b.chunkSize()
		if err != nil {
			return nil, err
		}
		if size == 0 {
			return body, b.trailers()
		}
		if int64(len(text)-b.at) < size {
			return nil, &SyntaxError{b.at, "a chunk is shorter than announced"}
		}
		body = append(body, text[b.at:b.at+int(size)]...)
		b.at += int(size)
		start := b.at
		if end, err := b.line(); err != nil || len(end) > 0 {
			return nil, &SyntaxError{start, "a chunk does not end where announced"}
		}
	}
}

func (b *block) chunkSize() (int64, error) {
	start := b.at
	line, err := b.line()
	if err != nil {
		return 0, err
	}
	digits, _, _ := bytes.Cut(line, []byte(";"))
	digits = trim(digits)
	for _, c := range digits {
		if c == '+' || c == '-' || c == '_' {
			return 0, &SyntaxError{start, "a chunk's size is no hexadecimal number"}
		}
	}
	size, err := strconv.ParseInt(view(digits), 16, 64)
	if err != nil {
		return 0, &SyntaxError{start, "a chunk's size is no hexadecimal number"}
	}
	return size, nil
}

func (b *block) trailers() error {
	for {
		name, _, err := b.field()
		if err != nil {
			return err
		}
		if name == nil {
			break
		}
	}
	if b.at < len(b.text) {
		return &SyntaxError{b.at, "there are bytes behind the message"}
	}
	return nil
}
