package supervise

import (
	"bytes"
	"io"
	"sync"
)

// maxLine is the length beyond which a line is broken.
const maxLine = 64 << 10

// lines cuts what is written to it into lines, and writes each with its end.
type lines struct {
	to   io.Writer
	part []byte // of a line whose end has not come
}

// Write implements io.Writer. It never fails: a program must not be stopped by
// whoever cannot take its output.
func (l *lines) Write(p []byte) (int, error) {
	n := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			break
		}
		l.write(p[:i])
		p = p[i+1:]
	}
	l.part = append(l.part, p...)
	for len(l.part) >= maxLine {
		rest := append([]byte(nil), l.part[maxLine:]...)
		l.part = l.part[:maxLine]
		l.write(nil)
		l.part = rest
	}
	return n, nil
}

// write writes the part kept and p as one line.
func (l *lines) write(p []byte) {
	line := append(append(l.part, p...), '\n')
	_, _ = l.to.Write(line)
	l.part = l.part[:0]
}

// end writes a last line that has no end.
func (l *lines) end() {
	if len(l.part) > 0 {
		l.write(nil)
	}
}

// Prefixes returns a maker of writers that put a prefix before each line and
// share w: lines of several programs do not mix.
func Prefixes(w io.Writer) func(prefix string) io.Writer {
	var mu sync.Mutex
	return func(prefix string) io.Writer { return &prefixed{&mu, w, prefix} }
}

type prefixed struct {
	mu     *sync.Mutex // guards w
	w      io.Writer
	prefix string
}

// Write implements io.Writer for one whole line.
func (p *prefixed) Write(line []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.w.Write(append([]byte(p.prefix), line...)); err != nil {
		return 0, err
	}
	return len(line), nil
}
