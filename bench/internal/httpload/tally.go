package httpload

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/butterfly-zmq/butterfly/bench/internal/latency"
)

// Kind sorts failed requests.
type Kind string

// The kinds of failure.
const (
	Connect   Kind = "connect"   // no connection
	Timeout   Kind = "timeout"   // no whole answer within the timeout
	Closed    Kind = "closed"    // the server ended the connection instead
	Malformed Kind = "malformed" // the answer is not HTTP/1.x
	Body      Kind = "body"      // the answer has another body than expected
	Other     Kind = "other"
)

// connectError marks an error as one of connecting.
type connectError struct{ error }

func (e connectError) Unwrap() error { return e.error }

// kindOf sorts err.
func kindOf(err error) Kind {
	var connecting connectError
	var bad *MalformedError
	switch {
	case errors.As(err, &connecting):
		return Connect
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Timeout
	case errors.As(err, &bad):
		return Malformed
	case errors.Is(err, errBody):
		return Body
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return Closed
	}
	return Other
}

// Failure is how often one Kind happened.
type Failure struct {
	Count   int64  `json:"count"`
	Example string `json:"example"` // the first error's text
}

// tally is what one connection has measured; each has its own, without locks.
type tally struct {
	latency  latency.Histogram
	good     *latency.Histogram // of the answers with status 200; nil before the first
	retries  int64              // answers that say when to try again
	statuses [600]int64
	failures map[Kind]Failure
	late     int64 // answers that came after the measured time
	within   int64 // answers with status 200 that came within it, whenever they were due
	unsent   int64 // requests that were due and never sent
	redials  int64
	last     time.Duration // when the last answer or failure came
}

// answered counts an answer that came at now to a request due at due.
func (t *tally) answered(due, now, end time.Duration, h head) {
	t.latency.Record(now - due)
	t.statuses[h.status]++
	if h.retry {
		t.retries++
	}
	if h.status == 200 {
		if t.good == nil {
			t.good = new(latency.Histogram)
		}
		t.good.Record(now - due)
	}
	t.last = now
	if now > end {
		t.late++
	}
}

// arrived counts a good answer by when it came.
func (t *tally) arrived(now, begin, end time.Duration, h head) {
	if h.status == 200 && now >= begin && now <= end {
		t.within++
	}
}

// failed counts a request that got no good answer. A timeout counts as a latency
// too: left out, the slowest requests would make the percentiles better.
func (t *tally) failed(due, now time.Duration, err error) {
	if t.failures == nil {
		t.failures = map[Kind]Failure{}
	}
	kind := kindOf(err)
	failure := t.failures[kind]
	if failure.Count == 0 {
		failure.Example = err.Error()
	}
	failure.Count++
	t.failures[kind] = failure
	if kind == Timeout {
		t.latency.Record(now - due)
		return // and it says nothing about when the server's work ended
	}
	t.last = now
}

// skipped counts a request that was due and for which the run had no time left.
// How long it had waited by then is a lower bound of its latency.
func (t *tally) skipped(due, now time.Duration) {
	t.unsent++
	t.latency.Record(now - due)
}

// add takes in what another connection has measured.
func (t *tally) add(other *tally) {
	t.latency.Add(&other.latency)
	if other.good != nil {
		if t.good == nil {
			t.good = new(latency.Histogram)
		}
		t.good.Add(other.good)
	}
	t.retries += other.retries
	for status, n := range other.statuses {
		t.statuses[status] += n
	}
	for kind, failure := range other.failures {
		if t.failures == nil {
			t.failures = map[Kind]Failure{}
		}
		failure.Count += t.failures[kind].Count
		t.failures[kind] = failure
	}
	t.late += other.late
	t.within += other.within
	t.unsent += other.unsent
	t.redials += other.redials
	t.last = max(t.last, other.last)
}
