// Package trial is a service whose answers can be checked: every request has a
// token of its own, its way through the stages is in its answer, and each stage
// writes down what it was given before it does it.
package trial

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// The stages of the service: entry takes the request, turn sends jobs back to
// itself, and note (a worker program) or sum answers.
const (
	Entry = "entry"
	Turn  = "turn"
	Note  = "note"
	Sum   = "sum"
)

// Path is that of all requests.
const Path = "/work"

// Task is what one request asks for. Its fields are bounded by whoever makes it.
type Task struct {
	Token  string // of this request alone: letters and digits
	Method string
	Turns  int           // visits of the stage turn
	Work   time.Duration // how long each visit of a stage takes
	Hang   time.Duration // how long the first attempt of the first turn ignores its context
	Last   string        // the stage that answers: Note or Sum
	Size   int           // bytes of the answer at least
	Parts  int           // above 0: the answer comes in so many parts
	Fail   int           // a status above 0: the last stage fails with it
	Body   []byte        // of the request
}

// Once reports whether no stage may do the task twice.
func (t *Task) Once() bool {
	return t.Method != http.MethodGet && t.Method != http.MethodHead && t.Method != http.MethodOptions
}

// Target returns the request's target.
func (t *Task) Target() string {
	v := url.Values{}
	v.Set("token", t.Token)
	v.Set("last", t.Last)
	for name, n := range map[string]int{
		"turns": t.Turns, "work": int(t.Work.Microseconds()), "hang": int(t.Hang.Microseconds()),
		"size": t.Size, "parts": t.Parts, "fail": t.Fail,
	} {
		if n != 0 {
			v.Set(name, strconv.Itoa(n))
		}
	}
	return Path + "?" + v.Encode()
}

// Request returns the text of the request.
func (t *Task) Request(closing bool) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: trial\r\n", t.Method, t.Target())
	if closing {
		b.WriteString("Connection: close\r\n")
	}
	if len(t.Body) > 0 || t.Method == http.MethodPost {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(t.Body))
	}
	b.WriteString("\r\n")
	b.Write(t.Body)
	return b.Bytes()
}

// Visit is one stage's work on a task.
type Visit struct {
	Stage string
	Turn  int // of the stage turn, from 0
}

// Visits returns all visits of the task, in order.
func (t *Task) Visits() []Visit {
	visits := []Visit{{Entry, 0}}
	for turn := range t.Turns {
		visits = append(visits, Visit{Turn, turn})
	}
	return append(visits, Visit{t.Last, 0})
}

// Digest returns the mark of a task that made all its visits.
func (t *Task) Digest() string {
	d := first(t.Token, t.Body)
	for _, v := range t.Visits() {
		d = next(d, v)
	}
	return d
}

// Answer returns the body of the right answer. That of a failing task is not
// the worker's alone: it holds the token.
func (t *Task) Answer() []byte {
	digest := t.Digest()
	if t.Parts == 0 {
		return whole(t.Token, digest, t.Size)
	}
	var b []byte
	for n := range t.Parts {
		b = append(b, part(t.Token, digest, n, t.Size)...)
	}
	return b
}

// first returns the mark of a task that has visited nothing.
func first(token string, body []byte) string { return sum(token + "\n" + string(body)) }

// next returns the mark behind one more visit.
func next(digest string, v Visit) string {
	return sum(fmt.Sprintf("%s %s %d", digest, v.Stage, v.Turn))
}

func sum(text string) string {
	s := sha256.Sum256([]byte(text))
	return hex.EncodeToString(s[:])
}

// whole returns an answer of a single part, of size bytes at least.
func whole(token, digest string, size int) []byte {
	b := []byte(token + " " + digest + "\n")
	for len(b) < size {
		b = append(b, digest...)
	}
	return b
}

// part returns part n of an answer.
func part(token, digest string, n, size int) []byte {
	return whole(token, sum(fmt.Sprint(digest, " ", n)), size)
}
