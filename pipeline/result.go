package pipeline

import (
	"context"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
)

// Request is an HTTP request: method, raw target, header, body. Path and Query
// decode the target.
type Request = httptext.Request

// Response is an HTTP response: status, header, body. Its zero Status is 200.
type Response = httptext.Response

// NewRequest returns an HTTP/1.1 request, for a Client's jobs and for tests.
func NewRequest(method, target string, header Header, body []byte) *Request {
	return httptext.NewRequest(method, target, header, body)
}

// Header is a list of header fields in the order in which they travel.
type Header = httptext.Header

// Field is one header field.
type Field = httptext.Field

// Result is what a handler made of its job. The zero Result is none: a handler
// that returns it without an error has failed.
type Result struct {
	kind       resultKind
	stage      string
	frames     [][]byte
	response   *Response
	beat       []byte
	scattering *scattering
	send       func(context.Context, *StreamWriter) error
}

type resultKind uint8

const (
	noResult resultKind = iota
	forwarded
	replied
	scattered
	streamed
)

// Forward sends frames, at least one, to another stage, or to the same again.
// The stage must be a next one of this; "" is the only next one. The frames
// are given away.
func Forward(stage string, frames ...[]byte) Result {
	return Result{kind: forwarded, stage: stage, frames: frames}
}

// Reply answers the client. The response is given away.
func Reply(r *Response) Result { return Result{kind: replied, response: r} }

// Text answers the client with a status and a line of plain text.
func Text(status int, body string) Result {
	return Reply(httptext.NewText(status, body))
}

// WithBeat returns the result with what the slot says to its stage's chooser
// from now on: any bytes, for example what it holds in its cache.
func (r Result) WithBeat(beat []byte) Result {
	r.beat = beat
	return r
}

// Forwarded returns the stage that the result forwards to, if it does.
func (r Result) Forwarded() (stage string, ok bool) {
	return r.stage, r.kind == forwarded
}
