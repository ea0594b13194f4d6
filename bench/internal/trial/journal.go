package trial

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// Journal is the file in which all processes of the service write down their
// visits before they make them, a line each, in one write: the lines do not mix,
// and a killed process leaves no half of one. Its methods may be called
// concurrently.
type Journal struct {
	Path string

	once sync.Once // opens file
	file *os.File
	err  error
}

// Note writes a visit down.
func (j *Journal) Note(v Visit, token, method string, attempt int) error {
	j.once.Do(func() { j.file, j.err = os.OpenFile(j.Path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600) })
	if j.err != nil {
		return j.err
	}
	_, err := fmt.Fprintf(j.file, "%s %d %s %s %d\n", v.Stage, v.Turn, token, method, attempt)
	return err
}

// Line is one of a journal.
type Line struct {
	Visit
	Token, Method string
	Attempt       int
}

// Record is what a journal says of all tasks.
type Record struct {
	// Visits counts each task's, by its token.
	Visits map[string]map[Visit]int
}

// Read reads a journal. A file that is not there is an empty one.
func Read(path string) (*Record, error) {
	file, err := os.Open(path)
	if os.IsNotExist(err) {
		return &Record{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	return parse(file)
}

func parse(from io.Reader) (*Record, error) {
	r := &Record{Visits: make(map[string]map[Visit]int)}
	lines := bufio.NewScanner(from)
	for n := 1; lines.Scan(); n++ {
		var l Line
		if _, err := fmt.Sscan(lines.Text(), &l.Stage, &l.Turn, &l.Token, &l.Method, &l.Attempt); err != nil {
			return nil, fmt.Errorf("journal: line %d: %q: %w", n, lines.Text(), err)
		}
		token := strings.Clone(l.Token)
		if r.Visits[token] == nil {
			r.Visits[token] = make(map[Visit]int, 4)
		}
		r.Visits[token][Visit{stageName(l.Stage), l.Turn}]++
	}
	return r, lines.Err()
}

// stageName returns the constant of a name, so that lines need not keep theirs.
func stageName(s string) string {
	for _, name := range []string{Entry, Turn, Note, Sum} {
		if s == name {
			return name
		}
	}
	return strings.Clone(s)
}

// Taken reports whether any stage was given the task.
func (r *Record) Taken(token string) bool { return len(r.Visits[token]) > 0 }

// Repeated returns how many visits of a task were made more than once.
func (r *Record) Repeated(token string) (n int) {
	for _, times := range r.Visits[token] {
		n += times - 1
	}
	return n
}

// Complete reports whether all visits were made.
func (r *Record) Complete(t *Task) bool {
	for _, v := range t.Visits() {
		if r.Visits[t.Token][v] == 0 {
			return false
		}
	}
	return true
}
