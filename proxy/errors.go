package proxy

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

var (
	// ErrQueueFull matches every *QueueFullError.
	ErrQueueFull = errors.New("proxy: queue full")
	// ErrFlooded says that a job was refused that the stage had to take, since it
	// keeps more than any honest fronts let in.
	ErrFlooded = errors.New("proxy: too many jobs of other stages")
	// ErrDeadline matches every *DeadlineError.
	ErrDeadline = errors.New("proxy: the deadline cannot be met")
	// ErrNoWorkers says that the stage has no workers and does not wait for any.
	ErrNoWorkers = errors.New("proxy: the stage has no workers")
	// ErrExpired says that a job's deadline passed while it was queued.
	ErrExpired = errors.New("proxy: the deadline passed in the queue")
	// ErrClosed says that the stage takes no jobs any more.
	ErrClosed = errors.New("proxy: the stage is closed")
	// ErrWorkerLost says that a worker was lost together with the job.
	ErrWorkerLost = errors.New("proxy: the worker was lost with the job")
	// ErrOverdue says that a worker held the job for longer than the stage's
	// timeout.
	ErrOverdue = errors.New("proxy: the job took longer than the stage's timeout")
	// ErrFrontGone says that the job's front was away for too long.
	ErrFrontGone = errors.New("proxy: the job's front has gone")
	// ErrUnfit says that a request would harm the only workers there are.
	ErrUnfit = errors.New("proxy: the request is not for prime_server's workers")
	// ErrLoop matches every *LoopError.
	ErrLoop = errors.New("proxy: too many stages entered")
	// ErrPart matches every *PartError.
	ErrPart = errors.New("proxy: a part of the job failed")
	// ErrMissing matches every *MissingError.
	ErrMissing = errors.New("proxy: parts of the job are missing")
	// ErrJoinedSize matches every *JoinedSizeError.
	ErrJoinedSize = errors.New("proxy: the parts of the job are too large together")
	// ErrMessage matches every *MessageError.
	ErrMessage = errors.New("proxy: bad message")
	// ErrRunning is returned by a second call of Run.
	ErrRunning = errors.New("proxy: Run was called before")
)

// QueueFullError says that a stage takes no more jobs from fronts for now. The
// job is the caller's.
type QueueFullError struct {
	Jobs  int           // waiting
	Bytes int64         // of their payloads
	Retry time.Duration // how long it takes until they have got workers; 0: not known
}

func (e *QueueFullError) Error() string {
	return fmt.Sprintf("proxy: queue full: %d jobs, %d bytes", e.Jobs, e.Bytes)
}

// Is makes errors.Is(err, ErrQueueFull) true.
func (e *QueueFullError) Is(target error) bool { return target == ErrQueueFull }

// RetryAfter returns Retry.
func (e *QueueFullError) RetryAfter() time.Duration { return e.Retry }

// DeadlineError says that a job of a front cannot be done by its deadline, and
// that nothing was begun. The job is the caller's.
type DeadlineError struct {
	Wait  time.Duration // how long it would have waited, at least; 0: it has
	Retry time.Duration // how long it takes until all that waits has got workers
}

func (e *DeadlineError) Error() string {
	if e.Wait == 0 {
		return "proxy: the deadline cannot be met any more"
	}
	return fmt.Sprintf("proxy: the deadline cannot be met: jobs wait %v", e.Wait.Round(time.Millisecond))
}

// Is makes errors.Is(err, ErrDeadline) true.
func (e *DeadlineError) Is(target error) bool { return target == ErrDeadline }

// RetryAfter returns Retry.
func (e *DeadlineError) RetryAfter() time.Duration { return e.Retry }

// MessageError says why a message was not taken for a job or a beat.
type MessageError struct {
	What string // "job", "part" or "beat"
	Err  error
}

func (e *MessageError) Error() string { return fmt.Sprintf("proxy: bad %s: %v", e.What, e.Err) }

// Unwrap returns the cause.
func (e *MessageError) Unwrap() error { return e.Err }

// Is makes errors.Is(err, ErrMessage) true.
func (e *MessageError) Is(target error) bool { return target == ErrMessage }

// LoopError says that a job entered too many stages, or one stage too often:
// the job is refused.
type LoopError struct {
	Stage string   // the stage that refused it
	What  string   // "hops", of the job, or "visits", of the stage
	Count uint32   // this one included
	Limit uint32   // the most allowed
	Trail []string // the latest stages entered, the latest last
}

// Reason says it in one line, for the client.
func (e *LoopError) Reason() string {
	did := fmt.Sprintf("entered %d stages", e.Count)
	if e.What == "visits" {
		did = fmt.Sprintf("visited %s %d times", e.Stage, e.Count)
	}
	reason := fmt.Sprintf("the job %s, at most %d are allowed", did, e.Limit)
	if len(e.Trail) > 0 {
		reason += "; last stages: " + strings.Join(e.Trail, ", ")
	}
	return reason
}

func (e *LoopError) Error() string { return "proxy: " + e.Reason() }

// Is makes errors.Is(err, ErrLoop) true.
func (e *LoopError) Is(target error) bool { return target == ErrLoop }

// refusalTable says what a client is told of an error. The first match counts.
var refusalTable = []struct {
	err    error
	status int
	reason string
}{
	{ErrMissing, 504, "parts of the job did not come in time"},
	{ErrJoinedSize, 500, "the parts of the job are too large together"},
	{ErrMessage, 400, "the job is malformed"},
	{ErrQueueFull, 503, "the stage is overloaded"},
	{ErrFlooded, 503, "the stage is overloaded by other stages"},
	{ErrDeadline, 503, "the stage is overloaded: the answer would come too late"},
	{ErrNoWorkers, 503, "the stage has no workers"},
	{ErrClosed, 503, "the stage is shutting down"},
	{ErrUnfit, 501, "the stage's workers cannot take such a request"},
	{ErrExpired, 504, "no worker became free in time"},
	{ErrWorkerLost, 502, "the worker was lost"},
	{ErrFrontGone, 502, "the front was away for too long"},
	{ErrOverdue, 504, "the stage took too long"},
}

// Refusal is what a client is told of a stage's error.
type Refusal struct {
	Status int    // HTTP's
	Reason string // in a line
	// Retry is when it may be worth trying again, with status 503; 0: nothing is
	// known.
	Retry time.Duration
}

// RefusalOf returns what a client is told of a stage's error: the one table for
// it, of this package's errors. Others are 500.
func RefusalOf(err error) Refusal {
	var (
		loop *LoopError
		part *PartError
	)
	switch {
	case errors.As(err, &loop):
		return Refusal{Status: 508, Reason: loop.Reason()}
	case errors.As(err, &part):
		return Refusal{Status: part.Status, Reason: part.Reason}
	}
	for _, r := range refusalTable {
		if errors.Is(err, r.err) {
			return Refusal{r.status, r.reason, retryAfter(err)}
		}
	}
	return Refusal{Status: 500, Reason: "the stage failed"}
}

// retryAfter returns what an error says of when to try again.
func retryAfter(err error) time.Duration {
	var e interface{ RetryAfter() time.Duration }
	if errors.As(err, &e) {
		return e.RetryAfter()
	}
	return 0
}

// beforehand reports whether err refuses a job of a front that was not looked
// into, and which its submitter keeps.
func beforehand(err error) bool {
	return errors.Is(err, ErrQueueFull) || errors.Is(err, ErrDeadline) || errors.Is(err, ErrNoWorkers) || errors.Is(err, ErrClosed)
}
