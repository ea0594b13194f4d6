package pipeline

import (
	"errors"
	"fmt"

	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// ErrMissing is the Err of a part that did not come in time.
var ErrMissing = errors.New("pipeline: the part did not come in time")

// Part is what became of one part of a scattered job.
type Part struct {
	// Index is the part's place in what was given to Scatter.
	Index int
	// Frames are what was forwarded to the join, at least one; none with Err.
	Frames [][]byte
	// Err is a *StatusError with what the client would have been told, or
	// ErrMissing. Only the policy BestEffort lets it be seen.
	Err error
}

// Bytes returns the first frame, or nil.
func (p Part) Bytes() []byte {
	if len(p.Frames) == 0 {
		return nil
	}
	return p.Frames[0]
}

// Parts returns the parts of a job that was scattered and joined, in their
// order: all of them, or for the policy Any the one that came first. The error
// says that the job is no such one.
func (j *Job) Parts() ([]Part, error) {
	joined, ok := j.payload.(wire.Joined)
	if !ok {
		var err error
		if joined, err = wire.ParseJoined(j.payload.Frames()); err != nil {
			return nil, j.notJoined(err)
		}
	}
	parts := make([]Part, len(joined))
	for i, p := range joined {
		parts[i].Index = int(p.Index)
		switch p.State {
		case wire.PartMissing:
			parts[i].Err = ErrMissing
		case wire.PartFailed:
			parts[i].Err = partError(p)
		default:
			parts[i].Frames = p.Payload.Frames()
		}
	}
	return parts, nil
}

// notJoined says why a job has no parts.
func (j *Job) notJoined(err error) error {
	if j.info.Extended && j.info.Piece() != nil {
		p := j.info.Piece()
		return fmt.Errorf("pipeline: stage %q got part %d of %d alone, by a proxy that does not join it: "+
			"the proxy has to bear the name that the job was scattered with", j.stage, p.Index, p.Total)
	}
	return fmt.Errorf("pipeline: stage %q: %w", j.stage, err)
}

// partError returns the error that a failed part bears.
func partError(p wire.JoinedPart) error {
	e := &StatusError{Status: int(p.Code), Message: "the part failed"}
	if f := p.Payload.Frames(); len(f) > 0 && len(f[0]) > 0 {
		e.Message = string(f[0])
	}
	return e
}
