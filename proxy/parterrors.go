package proxy

import (
	"fmt"
	"strings"

	"github.com/butterfly-zmq/butterfly/loopback"
)

// PartError is the error of a part by which its whole job failed: what the
// client is told. It is an ErrPart.
type PartError struct {
	Status int // 400 to 599
	Reason string
}

// maxReason bounds the text that is taken over from a part.
const maxReason = 1024

// newPartError returns the error that a failed part bears.
func newPartError(part *loopback.Job) *PartError {
	e := &PartError{Status: int(part.Info.Code), Reason: "a part of the job failed"}
	if e.Status < 400 || e.Status > 599 {
		e.Status = 500
	}
	if frames := part.Payload.Frames(); len(frames) > 0 && len(frames[0]) > 0 {
		text := string(frames[0][:min(len(frames[0]), maxReason)])
		// Who tells the client adds the request's id again.
		e.Reason = strings.TrimSuffix(text, " (request "+part.Info.RequestID()+")")
	}
	return e
}

func (e *PartError) Error() string {
	return fmt.Sprintf("proxy: a part of the job failed: %d %s", e.Status, e.Reason)
}

// Is makes errors.Is(err, ErrPart) true.
func (e *PartError) Is(target error) bool { return target == ErrPart }

// MissingError says that parts did not come in time. It is an ErrMissing.
type MissingError struct{ Parts, Came, Failed int }

func (e *MissingError) Error() string {
	return fmt.Sprintf("proxy: of %d parts of the job %d came in time, %d of these failed", e.Parts, e.Came, e.Failed)
}

// Is makes errors.Is(err, ErrMissing) true.
func (e *MissingError) Is(target error) bool { return target == ErrMissing }

// JoinedSizeError says that a job's parts are too large to be one job again. It
// is an ErrJoinedSize.
type JoinedSizeError struct{ Bytes, Max int64 }

func (e *JoinedSizeError) Error() string {
	return fmt.Sprintf("proxy: the parts of the job have %d bytes together, at most %d are allowed", e.Bytes, e.Max)
}

// Is makes errors.Is(err, ErrJoinedSize) true.
func (e *JoinedSizeError) Is(target error) bool { return target == ErrJoinedSize }
