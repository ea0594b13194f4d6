package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/internal/spool"
)

// ErrBodyGone says that a body which its front has put in a file is not there: the
// request has ended, or the worker was told of another directory than the front.
var ErrBodyGone = errors.New("pipeline: the body is not there: the request has ended, or its front spools to another directory")

// Body returns the body of the HTTP request, from its beginning: the bytes of
// Request.Body, or the file in which the front has put a large one (spool_above of
// the route). It may be called again, for another reader; who reads the body by
// several goroutines gives each its own. Readers are closed when the job is done: to
// close one before is for those who open many. The file is there as long as the
// request is open, also for jobs that were forwarded with the request, and for an
// attempt after this one.
//
// The error is that of Request, an ErrBodyGone, or the system's.
func (j *Job) Body() (io.ReadSeekCloser, error) {
	r, err := j.Request()
	if err != nil {
		return nil, err
	}
	name, size, ok := httptext.SpooledAs(r)
	if !ok {
		return inMemory{bytes.NewReader(r.Body)}, nil
	}
	var dirs []string
	if j.spool != nil {
		dirs = *j.spool
	}
	f, err := spool.Open(dirs, j.info.Key().Instance, name, size)
	switch {
	case errors.Is(err, spool.ErrName):
		return nil, &StatusError{Status: 400, Message: "the job's body cannot be read here", cause: err}
	case errors.Is(err, spool.ErrMissing):
		return nil, fmt.Errorf("%w: %w", ErrBodyGone, err)
	case err != nil:
		return nil, fmt.Errorf("pipeline: opening the body: %w", err)
	}
	if j.files == nil {
		j.files = new([]*os.File)
	}
	*j.files = append(*j.files, f)
	return f, nil
}

// inMemory is a body that needs no closing.
type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }

// close closes the files that Body has opened.
func (j *Job) close() {
	if j.files == nil {
		return
	}
	for _, f := range *j.files {
		_ = f.Close() // it was read only, and may be closed already
	}
}
