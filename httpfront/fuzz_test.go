package httpfront

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
)

// addScenes makes the corpus the seeds, but for long scenes, which take the
// fuzzer minutes to minimize.
func addScenes(f *testing.F, add func(send []byte)) {
	eachFile(f, func(_, _ string, scenes []*scene) {
		for _, s := range scenes {
			if len(s.send) < 1000 {
				add(s.send)
			}
		}
	})
}

// Whatever a client sends over a connection, what leaves is HTTP: one answer to
// each request, in order, and nothing behind the one that is the last. Every
// job is a request that a worker can read, and nothing is left behind. However
// the bytes are cut, it is the same.
func FuzzConnection(f *testing.F) {
	addScenes(f, func(send []byte) { f.Add(send, uint16(1), false) })
	f.Fuzz(func(t *testing.T, in []byte, piece uint16, stays bool) {
		front := newStand(t, sceneConfigs[""])
		end := io.EOF
		if stays {
			end = errStays
		}
		seen, jobs := front.outcome(t, in, len(in)+1, end)
		again, others := front.outcome(t, in, 1+int(piece), end)
		if withoutInterim(seen) != withoutInterim(again) || strings.Join(jobs, "") != strings.Join(others, "") {
			t.Fatalf("%q\ngives %s%q,\nin pieces of %d %s%q", in, seen, jobs, 1+int(piece), again, others)
		}
		for _, j := range jobs {
			if _, err := httptext.ParseRequest([]byte(j)); err != nil {
				t.Fatalf("%q became the job %q: %v", in, j, err)
			}
		}
	})
}

// What reaches workers is what net/http reads in the same bytes, as far as it
// takes them: the same requests, with the same bodies, between the same
// borders.
func FuzzAgainstNetHTTP(f *testing.F) {
	addScenes(f, func(send []byte) { f.Add(send) })
	f.Fuzz(func(t *testing.T, in []byte) {
		front := newStand(t, Config{MaxBody: 1 << 20})
		_, jobs := front.play(bytes.Clone(in), len(in)+1, io.EOF)
		br := bufio.NewReader(bytes.NewReader(in))
		for _, job := range jobs {
			ours, err := httptext.ParseRequest([]byte(job))
			if err != nil {
				t.Fatalf("%q became the job %q: %v", in, job, err)
			}
			theirs, body := nextServed(br)
			if theirs == nil {
				return
			}
			if ours.Method != theirs.Method || ours.Target != theirs.RequestURI || !bytes.Equal(ours.Body, body) {
				t.Fatalf("%q\nis %q here,\n%s %s %q to net/http", in, job, theirs.Method, theirs.RequestURI, body)
			}
		}
	})
}

// nextServed returns the next request in br that a front takes and its body, or
// nil where net/http takes something else.
func nextServed(br *bufio.Reader) (*http.Request, []byte) {
	for {
		for next, _ := br.Peek(2); string(next) == "\r\n"; next, _ = br.Peek(2) {
			_, _ = br.Discard(2)
		}
		r, err := http.ReadRequest(br)
		if err != nil {
			return nil, nil
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, nil
		}
		if implemented(r.Method) && len(r.RequestURI) <= DefaultMaxTarget {
			return r, body
		}
	}
}
