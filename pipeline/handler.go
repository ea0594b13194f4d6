// Package pipeline is what an author of stages imports: a Handler does the
// jobs of one stage, a Pool runs it in slots, a Worker is a pool in a process
// of its own, and a Client submits jobs without HTTP.
//
// A job is done when its handler has returned: it was forwarded to another
// stage, answered, or failed. Every one of these reaches the client that
// waits, or the next stage, at once.
package pipeline

import (
	"context"
	"fmt"
	"os"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// Handler does the jobs of one stage.
type Handler interface {
	// Handle does one job. It runs in one slot and may run concurrently in
	// others.
	//
	// ctx ends when the result is of no use any more: the client left, the
	// deadline passed, or the pool is being stopped hard. A handler that
	// computes for long looks at it every few milliseconds and returns its
	// error.
	//
	// An error answers the client at once: a *StatusError with its status and
	// text, any other with 500 and the request's id, details in the log only.
	// A panic counts as an error.
	Handle(ctx context.Context, job *Job) (Result, error)
}

// HandlerFunc is a function as a Handler.
type HandlerFunc func(ctx context.Context, job *Job) (Result, error)

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, job *Job) (Result, error) { return f(ctx, job) }

// Job is one job, as its handler sees it. It and the bytes it gives are valid
// until the handler returns, and are not to be changed.
type Job struct {
	stage   string
	info    *wire.Info
	payload wire.Payload
	request *Request
	spool   *[]string   // directories for bodies; nil: none
	files   *[]*os.File // that Body has opened; nil: none
}

// Stage returns the name of the stage that does the job.
func (j *Job) Stage() string { return j.stage }

// Frames returns what the stage before sent; in the first stage the text of
// the HTTP request, as one frame. There is at least one.
func (j *Job) Frames() [][]byte { return j.payload.Frames() }

// Bytes returns the first frame.
func (j *Job) Bytes() []byte { return j.payload.Frames()[0] }

// Request returns the HTTP request that the first frame is the text of, as it
// is in the first stage behind a front. The error says what is wrong with the
// text; to return it answers 400.
func (j *Job) Request() (*Request, error) {
	if j.request != nil {
		return j.request, nil
	}
	if r, ok := j.payload.(*httptext.Request); ok {
		j.request = r
		return r, nil
	}
	r, err := httptext.ParseRequest(j.Bytes())
	if err != nil {
		return nil, &StatusError{Status: 400, Message: "the job is no HTTP request", cause: err}
	}
	j.request = r
	return r, nil
}

// RequestID returns the id of the request that the job belongs to, as the
// front shows it in error bodies and logs.
func (j *Job) RequestID() string { return j.info.RequestID() }

// Attempt returns how often the job was given to a worker of this stage before.
func (j *Job) Attempt() int { return int(j.info.Attempt) }

// Hops returns how many stages the job has entered, this one included, as far
// as they were counted: prime_server's proxies do not count.
func (j *Job) Hops() int { return int(j.info.Hops) }

// StatusError is an error that the client may see: its status and message.
type StatusError struct {
	Status  int    // HTTP status, 400 to 599
	Message string // one line of text for the client
	cause   error
}

// Errorf returns a StatusError with a formatted message. An error given for a
// %w verb can be found by errors.Is and errors.As; its text is in the message.
func Errorf(status int, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &StatusError{Status: status, Message: err.Error(), cause: err}
}

func (e *StatusError) Error() string {
	if e.cause != nil && e.cause.Error() != e.Message {
		return fmt.Sprintf("%d %s: %v", e.Status, e.Message, e.cause)
	}
	return fmt.Sprintf("%d %s", e.Status, e.Message)
}

// Unwrap returns what the error was made of.
func (e *StatusError) Unwrap() error { return e.cause }
