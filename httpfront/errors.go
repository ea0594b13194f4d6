package httpfront

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/internal/spool"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/valyala/fasthttp"
)

// StatusError is an error that a Route may return: the client gets its status
// and message.
type StatusError struct {
	Status  int    // 400 to 599
	Message string // one line of text
	Allow   string // the methods allowed, with 405 (RFC 9110, section 15.5.6)
}

func (e *StatusError) Error() string { return fmt.Sprintf("httpfront: %d %s", e.Status, e.Message) }

// answerError says that a stage's answer is no HTTP response.
type answerError struct{ cause error }

func (e *answerError) Error() string { return "httpfront: answer of the stage: " + e.cause.Error() }
func (e *answerError) Unwrap() error { return e.cause }

// submitError says that a stage did not take a job.
type submitError struct{ cause error }

func (e *submitError) Error() string { return "httpfront: job not submitted: " + e.cause.Error() }
func (e *submitError) Unwrap() error { return e.cause }

// diskError says that a body could not be put in a file.
type diskError struct{ cause error }

func (e *diskError) Error() string {
	return "httpfront: the body could not be spooled: " + e.cause.Error()
}
func (e *diskError) Unwrap() error { return e.cause }

// spoolError returns err, if it is one, as a diskError.
func spoolError(err error) error {
	if err == nil {
		return nil
	}
	return &diskError{err}
}

// pendingError says that the front has too many requests open for another one
// to a stage.
type pendingError struct {
	cause error
	wait  time.Duration // for what waits at the stage
}

func (e *pendingError) Error() string             { return e.cause.Error() }
func (e *pendingError) Unwrap() error             { return e.cause }
func (e *pendingError) RetryAfter() time.Duration { return e.wait }

// patience returns how long what waits takes, as far as err says it.
func patience(err error) time.Duration {
	var e interface{ RetryAfter() time.Duration }
	if errors.As(err, &e) {
		return e.RetryAfter()
	}
	return 0
}

// internalError says that the front, or the route, failed.
type internalError struct{ cause any }

func (e *internalError) Error() string { return fmt.Sprintf("httpfront: %v", e.cause) }

var (
	errMethod    = &StatusError{Status: fasthttp.StatusNotImplemented, Message: "the method is not implemented"}
	errTarget    = &StatusError{Status: fasthttp.StatusRequestURITooLong, Message: "the request target is too long"}
	errHead      = &StatusError{Status: fasthttp.StatusRequestHeaderFieldsTooLarge, Message: "the request's header is too large"}
	errBody      = &StatusError{Status: fasthttp.StatusRequestEntityTooLarge, Message: "the request's body is too large"}
	errOrigin    = &StatusError{Status: fasthttp.StatusForbidden, Message: "pages of this origin may not ask here"}
	errConns     = &StatusError{Status: fasthttp.StatusServiceUnavailable, Message: "too many connections"}
	errClient    = &StatusError{Status: fasthttp.StatusTooManyRequests, Message: "too many connections from your address"}
	errHealthUse = &StatusError{Status: fasthttp.StatusMethodNotAllowed, Message: "only GET and HEAD", Allow: "GET, HEAD"}
)

// refusal is what the client is told of an error.
type refusal struct {
	status  int
	message string
	allow   string
	retry   bool // worth trying again, with Retry-After
	close   bool // what follows on the connection cannot be trusted
}

// refusalOf is the one table from errors to statuses. Texts of errors are for
// the log: they never reach the client.
func refusalOf(err error) refusal {
	var (
		status  *StatusError
		answer  *answerError
		submit  *submitError
		version *httptext.VersionError
		syntax  *httptext.SyntaxError
		small   *fasthttp.ErrSmallBuffer
		timeout net.Error
		disk    *diskError
	)
	switch {
	case errors.As(err, &status):
		return refusal{status: status.Status, message: status.Message, allow: status.Allow}
	case errors.As(err, &answer): // before those that it may wrap
		return refusal{status: 502, message: "the stage's answer is no HTTP response"}
	case errors.As(err, &submit):
		return refusal{status: 503, message: "the stage does not take requests now", retry: true}
	case errors.As(err, new(*lateError)):
		return refusal{status: 503, message: "too many requests are waiting: the answer would come too late", retry: true}
	case errors.Is(err, spool.ErrFull), errors.Is(err, spool.ErrBusy):
		return refusal{status: 503, message: "there is no room for the body now", retry: true, close: true}
	case errors.Is(err, spool.ErrDisk):
		return refusal{status: 507, message: "the server's disk is full", close: true}
	case errors.As(err, &disk):
		return refusal{status: 500, message: "internal error", close: true}
	case errors.Is(err, loopback.ErrFull):
		return refusal{status: 503, message: "too many requests are waiting", retry: true}
	case errors.Is(err, loopback.ErrDraining), errors.Is(err, loopback.ErrClosed):
		return refusal{status: 503, message: "the server is shutting down", retry: true, close: true}
	case errors.Is(err, loopback.ErrDeadline):
		return refusal{status: 504, message: "the answer took too long"}
	case errors.Is(err, loopback.ErrLost):
		return refusal{status: 502, message: "the request was lost on its way"}
	case errors.As(err, &version):
		return refusal{status: 505, message: "only HTTP/1.0 and HTTP/1.1 are spoken here", close: true}
	case errors.As(err, &syntax):
		return refusal{status: 400, message: "the request is malformed", close: true}
	case errors.Is(err, httptext.ErrExpect):
		return refusal{status: 417, message: "only 100-continue can be expected here", close: true}
	case errors.Is(err, httptext.ErrOverhead):
		return refusal{status: 431, message: "the body's chunk extensions and trailers are too long", close: true}
	case errors.As(err, &small):
		return refusal{status: errHead.Status, message: errHead.Message, close: true}
	case errors.As(err, &timeout) && timeout.Timeout():
		return refusal{status: 408, message: "the request took too long to come", close: true}
	case errors.As(err, new(*internalError)):
		return refusal{status: 500, message: "internal error"}
	}
	return refusal{status: 400, message: "the request is malformed", close: true}
}
