package loopback

import (
	"errors"
	"fmt"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// What ends a request other than an answer.
var (
	// ErrDeadline: the request's deadline passed.
	ErrDeadline = errors.New("loopback: the deadline passed")
	// ErrGone: the client left.
	ErrGone = errors.New("loopback: the client left")
	// ErrLost: the job may not have reached its stage.
	ErrLost = errors.New("loopback: the job was lost on its way to the stage")
	// ErrClosed: the table was stopped hard.
	ErrClosed = errors.New("loopback: the table is closed")
	// ErrDraining: the table takes no new requests.
	ErrDraining = errors.New("loopback: the table is draining")
	// ErrFull is what every FullError is.
	ErrFull = errors.New("loopback: too much is pending")
)

// FullError says which bound a request would have broken. It is an ErrFull.
type FullError struct {
	What  string // "requests" or "bytes"
	Limit int64
}

func (e *FullError) Error() string {
	return fmt.Sprintf("loopback: %d pending %s are the limit", e.Limit, e.What)
}

// Is reports whether target is ErrFull.
func (e *FullError) Is(target error) bool { return target == ErrFull }

// StageFullError says that a stage's proxy has told lately that it takes no more
// jobs of fronts. The job was not sent.
type StageFullError struct {
	Retry time.Duration // how long it takes until what waits there has got workers
}

func (e *StageFullError) Error() string {
	return fmt.Sprintf("loopback: the stage is full: its jobs wait %v", e.Retry.Round(time.Millisecond))
}

// RetryAfter returns Retry.
func (e *StageFullError) RetryAfter() time.Duration { return e.Retry }

// NoFrontError says that an answer has no way to the front that waits for it:
// of several fronts none is known by the instance or name in its info frame.
type NoFrontError struct {
	Key  wire.Key
	Name string // the front's name, where the frame has one
}

func (e *NoFrontError) Error() string {
	return fmt.Sprintf("loopback: no connection to the front %q of job %s: name it in --loopback NAME=ENDPOINT", e.Name, e.Key)
}
