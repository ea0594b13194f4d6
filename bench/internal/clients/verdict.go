package clients

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/butterfly-zmq/butterfly/bench/internal/trial"
)

// Verdict is what is to be thought of an exchange.
type Verdict string

// Verdicts. Down to Refused they keep what is promised.
const (
	Right   Verdict = "right"   // the answer that the task has
	Told    Verdict = "told"    // a status that says what happened
	Cut     Verdict = "cut"     // a stream that ended so that it shows
	Left    Verdict = "left"    // the client did not wait
	Dropped Verdict = "dropped" // the front was killed
	Refused Verdict = "refused" // the front was leaving: right if no worker had the request
	Lost    Verdict = "lost"    // no answer, and nobody to blame
	Wrong   Verdict = "wrong"   // an answer that the task has not
	Late    Verdict = "late"    // an answer behind its deadline
	Double  Verdict = "double"  // more answers than requests, or work done twice
)

// Broken reports whether a promise was broken.
func (v Verdict) Broken() bool { return slices.Contains([]Verdict{Lost, Wrong, Late, Double}, v) }

// Exchange is one request and what came of it.
type Exchange struct {
	Task  *trial.Task
	Front *Front
	// Opened is when the connection was.
	Opened time.Time
	// Began is when the front could begin with it: it was sent, and the one
	// before it on the connection was answered.
	Began time.Time
	// Headed is when the answer's head had come; zero: none came.
	Headed time.Time
	// Ended is when the answer was complete, or the connection was found to have
	// ended, or the client gave up.
	Ended time.Time

	Status int
	Body   []byte
	Err    error // why there is no answer, or no whole one
	GaveUp bool  // the client did: it waited for too long
	After  bool  // an answer before it said that the connection would be closed
}

// Limits say what is promised.
type Limits struct {
	// Timeout is how long an answer may take, or the first part of one.
	Timeout time.Duration
	// StreamIdle is how long the next part may.
	StreamIdle time.Duration
	// Slack is what a busy machine and the way to the client may add.
	Slack time.Duration
	// Calm allows nothing but right answers.
	Calm bool
	// Sudden says that parts are lost in no way but by their ends, which the
	// others hear of: then nobody waits for a deadline, and what may be repeated
	// is.
	Sudden bool
}

// mayTell reports whether the status may say what happened.
func (l *Limits) mayTell(e *Exchange) bool {
	if l.Sudden && (e.Status == http.StatusGatewayTimeout || e.Status == http.StatusBadGateway && !e.Task.Once()) {
		return false
	}
	return slices.Contains(statuses, e.Status) && !l.Calm
}

// statuses are those that may say what happened when parts fail.
var statuses = []int{http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}

// judge returns a verdict, and a sentence for one that breaks a promise.
func (l *Limits) judge(e *Exchange) (Verdict, string) {
	if e.Headed.IsZero() {
		return l.judgeSilence(e)
	}
	h := e.Front.History
	if wait := e.Headed.Sub(e.Began) - h.Standstill(e.Began, e.Headed); wait > l.Timeout+l.Slack {
		return Late, fmt.Sprintf("answered %d after %v", e.Status, wait)
	}
	if e.Err != nil {
		return l.judgeFragment(e)
	}
	return l.judgeAnswer(e)
}

// judgeSilence is about requests without any answer.
func (l *Limits) judgeSilence(e *Exchange) (Verdict, string) {
	h := e.Front.History
	switch {
	case e.GaveUp:
		return Lost, fmt.Sprintf("no answer within %v", e.Ended.Sub(e.Began))
	case h.WasKilled(e.Opened, e.Ended):
		return Dropped, ""
	case e.After, h.WasLeaving(e.Opened, e.Ended):
		return Refused, ""
	}
	return Lost, fmt.Sprintf("the connection ended after %v without an answer: %v", e.Ended.Sub(e.Began), e.Err)
}

// judgeFragment is about answers that did not come to their end.
func (l *Limits) judgeFragment(e *Exchange) (Verdict, string) {
	want := e.Task.Answer()
	switch {
	case e.Status == http.StatusOK && !bytes.HasPrefix(want, e.Body):
		return Wrong, fmt.Sprintf("the fragment %q is not of its answer", clip(e.Body))
	case e.GaveUp:
		return Lost, fmt.Sprintf("no end of the answer within %v", e.Ended.Sub(e.Headed))
	case e.Front.History.WasKilled(e.Opened, e.Ended):
		return Dropped, ""
	case e.Status == http.StatusOK && e.Task.Parts > 0 && !l.Calm:
		return Cut, ""
	}
	return Lost, fmt.Sprintf("an answer of %d ended before its end: %v", e.Status, e.Err)
}

// judgeAnswer is about whole answers.
func (l *Limits) judgeAnswer(e *Exchange) (Verdict, string) {
	want := http.StatusOK
	if e.Task.Fail > 0 {
		want = e.Task.Fail
	}
	switch {
	case e.Status != want && l.mayTell(e):
		return Told, ""
	case e.Status != want:
		return Wrong, fmt.Sprintf("status %d in place of %d: %q", e.Status, want, clip(e.Body))
	case e.Task.Method == http.MethodHead && len(e.Body) == 0:
		return Right, ""
	case want != http.StatusOK:
		if !bytes.Contains(e.Body, []byte(e.Task.Token)) {
			return Wrong, fmt.Sprintf("an error of somebody else: %q", clip(e.Body))
		}
		return Right, ""
	case !bytes.Equal(e.Body, e.Task.Answer()):
		return Wrong, fmt.Sprintf("a body of somebody else: %q", clip(e.Body))
	}
	return Right, ""
}

func clip(b []byte) []byte { return b[:min(len(b), 120)] }
