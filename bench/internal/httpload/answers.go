package httpload

import (
	"bytes"
	"errors"
	"io"
	"strconv"
)

// errBody is an answer that has not the expected body.
var errBody = errors.New("the answer has another body than expected")

// headLimit bounds an answer's header, and a line between chunks.
const headLimit = 16 << 10

// answers reads one answer after the other from one connection. Its buffer
// begins small, since 64 of them share the processor's cache with the server.
type answers struct {
	src io.Reader
	// buf[r:w] has been read from src and not been consumed.
	buf  []byte
	r, w int
	// expect is the body to compare with, nil for none; matched counts the
	// bytes of the present answer that agree, -1 after the first difference.
	expect  []byte
	matched int
	// onlyGood says that answers of other statuses than 200 may have any body.
	onlyGood bool
}

func newAnswers(src io.Reader, expect []byte) *answers {
	return &answers{src: src, buf: make([]byte, 2<<10), expect: expect}
}

// next reads one answer to its end. The head is valid with a nil error and with
// errBody, which leaves the connection usable; every other error ends it.
func (a *answers) next(toHead bool) (head, error) {
	for {
		h, err := a.head()
		if err != nil {
			return head{}, err
		}
		if h.status < 200 && h.status != 101 {
			continue // 100 and 103 announce the answer
		}
		a.matched = 0
		if err := a.body(&h, toHead); err != nil {
			return head{}, err
		}
		if a.r < a.w {
			return head{}, malformed("bytes behind the answer", a.buf[a.r:a.w])
		}
		if a.expect != nil && !toHead && a.matched != len(a.expect) && (h.status == 200 || !a.onlyGood) {
			return h, errBody
		}
		return h, nil
	}
}

// head reads up to and with the empty line.
func (a *answers) head() (head, error) {
	for {
		if end := bytes.Index(a.buf[a.r:a.w], []byte("\r\n\r\n")); end >= 0 {
			text := a.buf[a.r : a.r+end+len(crlf)]
			a.r += end + 2*len(crlf)
			return parseHead(text)
		}
		if err := a.fill(); err != nil {
			return head{}, err
		}
	}
}

// body consumes the body that h announces.
func (a *answers) body(h *head, toHead bool) error {
	switch {
	case h.bodiless(toHead):
		return nil
	case h.chunked:
		return a.chunks()
	case h.length >= 0:
		return a.consume(h.length)
	}
	h.closes = true // neither length nor chunks: the body ends with the connection
	for {
		if err := a.consume(int64(a.w - a.r)); err != nil {
			return err
		}
		if err := a.fill(); errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// chunks consumes a chunked body and its trailer.
func (a *answers) chunks() error {
	for {
		line, err := a.line()
		if err != nil {
			return err
		}
		digits, _, _ := bytes.Cut(line, []byte{';'})
		size, err := strconv.ParseInt(string(bytes.TrimSpace(digits)), 16, 63)
		if err != nil || size < 0 {
			return malformed("bad chunk size", line)
		}
		if size == 0 {
			return a.trailer()
		}
		if err := a.consume(size); err != nil {
			return err
		}
		if line, err = a.line(); err != nil {
			return err
		} else if len(line) > 0 {
			return malformed("no line end behind a chunk", line)
		}
	}
}

func (a *answers) trailer() error {
	for {
		if line, err := a.line(); err != nil || len(line) == 0 {
			return err
		}
	}
}

// line returns the next line without its CRLF, valid until the next call.
func (a *answers) line() ([]byte, error) {
	for {
		if end := bytes.Index(a.buf[a.r:a.w], crlf); end >= 0 {
			line := a.buf[a.r : a.r+end]
			a.r += end + len(crlf)
			return line, nil
		}
		if err := a.fill(); err != nil {
			return nil, err
		}
	}
}

// consume passes over n bytes of body and compares them with the expected ones.
func (a *answers) consume(n int64) error {
	for {
		part := a.buf[a.r:min(a.w, a.r+int(min(n, int64(len(a.buf)))))]
		a.compare(part)
		a.r += len(part)
		if n -= int64(len(part)); n == 0 {
			return nil
		}
		if err := a.fill(); err != nil {
			return err
		}
	}
}

func (a *answers) compare(part []byte) {
	if a.matched >= 0 && bytes.HasPrefix(a.expect[min(a.matched, len(a.expect)):], part) {
		a.matched += len(part)
	} else {
		a.matched = -1
	}
}

// fill reads more behind what is there. An end inside an answer, or where one
// should begin, is io.ErrUnexpectedEOF.
func (a *answers) fill() error {
	if a.r == a.w {
		a.r, a.w = 0, 0
	}
	if a.w == len(a.buf) {
		if err := a.grow(); err != nil {
			return err
		}
	}
	n, err := a.src.Read(a.buf[a.w:])
	a.w += n
	if n > 0 {
		return nil // an error comes again with the next read
	}
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// grow makes room behind the unconsumed bytes: a header or line that is longer
// than the buffer was.
func (a *answers) grow() error {
	held := a.buf[a.r:a.w]
	if len(held) >= headLimit {
		return malformed("a header or line without end", held)
	}
	a.buf = append(make([]byte, 0, 2*len(a.buf)), held...)
	a.buf = a.buf[:cap(a.buf)]
	a.r, a.w = 0, len(held)
	return nil
}
