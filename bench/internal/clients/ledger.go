package clients

import (
	"fmt"
	"sync"
	"time"

	"github.com/butterfly-zmq/butterfly/bench/internal/trial"
)

// shown bounds how many broken promises are told in full.
const shown = 20

// Ledger is what came of all requests. It may be used concurrently; the figures
// are to be read at the end.
type Ledger struct {
	mu sync.Mutex // guards all below

	Requests map[string]int         // by method
	Statuses map[string]map[int]int // by method and status
	Verdicts map[Verdict]int
	Refusals int           // connections that nobody accepted
	Longest  time.Duration // wait for the head of an answer, what the front stood still taken off
	Problems []string      // what broke a promise, the first few

	once    map[string]bool        // tokens of tasks that must not be done twice
	done    map[string]*trial.Task // of these, those that were answered with 200
	refused map[string]*trial.Task // must not have reached a worker
}

// NewLedger returns an empty one.
func NewLedger() *Ledger {
	return &Ledger{
		Requests: make(map[string]int), Statuses: make(map[string]map[int]int), Verdicts: make(map[Verdict]int),
		once: make(map[string]bool), done: make(map[string]*trial.Task), refused: make(map[string]*trial.Task),
	}
}

// Sent takes note of a request that is about to be written.
func (l *Ledger) Sent(t *trial.Task) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Requests[t.Method]++
	if t.Once() {
		l.once[t.Token] = true
	}
}

// Unreachable takes note of a connection that was not accepted.
func (l *Ledger) Unreachable() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Refusals++
}

// Judge takes note of an exchange, and returns its verdict.
func (l *Ledger) Judge(limits *Limits, e *Exchange) Verdict {
	verdict, why := limits.judge(e)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Verdicts[verdict]++
	if !e.Headed.IsZero() {
		if l.Statuses[e.Task.Method] == nil {
			l.Statuses[e.Task.Method] = make(map[int]int)
		}
		l.Statuses[e.Task.Method][e.Status]++
		l.Longest = max(l.Longest, e.Headed.Sub(e.Began)-e.Front.History.Standstill(e.Began, e.Headed))
	}
	switch {
	case verdict == Refused:
		l.refused[e.Task.Token] = e.Task
	case verdict == Right && e.Task.Once():
		l.done[e.Task.Token] = e.Task
	case verdict.Broken():
		l.problem("%s: %s %s at %s, sent %s: %s", verdict, e.Task.Method, e.Task.Target(), e.Front.Name, e.Began.Format(clock), why)
	}
	return verdict
}

// clock is how moments are written.
const clock = "15:04:05.000"

// Leave takes note of a request whose client did not wait.
func (l *Ledger) Leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Verdicts[Left]++
}

// Told returns how many answers had a status so far.
func (l *Ledger) Told(status int) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, byStatus := range l.Statuses {
		n += byStatus[status]
	}
	return n
}

// Extra takes note of bytes that no request asked for.
func (l *Ledger) Extra(front string, bytes []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Verdicts[Double]++
	l.problem("double: %s sent at %s what nobody had asked for: %q", front, time.Now().Format(clock), clip(bytes))
}

// Break takes note of a broken promise of another kind.
func (l *Ledger) Break(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.problem(format, args...)
}

// problem is called with mu held.
func (l *Ledger) problem(format string, args ...any) {
	if len(l.Problems) < shown {
		l.Problems = append(l.Problems, fmt.Sprintf(format, args...))
	}
}

// Compare holds what clients were told against what the workers wrote down. It
// returns how many visits of tasks that may be repeated were.
func (l *Ledger) Compare(r *trial.Record) (repeats int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for token, visits := range r.Visits {
		if n := r.Repeated(token); n > 0 && l.once[token] {
			l.Verdicts[Double]++
			l.problem("double: %s was done more than once: %v", token, visits)
		} else {
			repeats += n
		}
	}
	for token, task := range l.refused {
		if r.Taken(token) {
			l.Verdicts[Lost]++
			l.Verdicts[Refused]--
			l.problem("lost: %s %s was taken, %v, and not answered", task.Method, task.Target(), r.Visits[token])
		}
	}
	for token, task := range l.done {
		if !r.Complete(task) {
			l.Verdicts[Wrong]++
			l.problem("wrong: %s %s was answered without having been done: %v", task.Method, task.Target(), r.Visits[token])
		}
	}
	return repeats
}

// Broken returns how many promises were broken, of the kinds that are counted.
func (l *Ledger) Broken() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for verdict, times := range l.Verdicts {
		if verdict.Broken() {
			n += times
		}
	}
	return n
}
