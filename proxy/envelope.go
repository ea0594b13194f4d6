package proxy

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// envelope is a job that came over the wire, in one piece of memory: the job,
// its message, and room for the info frame that goes to the worker.
type envelope struct {
	loopback.Job
	message transport.Message // as it came; render replaces the first frame
	arrival uint64            // running number of those queued, by which jobs that come back are ordered
	room    [112]byte
}

// Frames implements wire.Payload.
func (e *envelope) Frames() [][]byte { return e.message[1:] }

// maxInfo is how long an info frame may be: that of an extended one is far below, and
// nobody counts the foreign bytes of another.
const maxInfo = 4096

// open reads a job. It is extended where it can be, for workers of any kind: a
// prime_server worker hands the frame on whole, and so its jobs are counted
// and bounded in graphs and cycles too. A frame with foreign bytes behind byte
// 12 stays as it is. Of a request that comes without an extension it is noted
// whether it asks with HEAD, for later stages, which do not see it.
//
// On error the info is what could be read of it; key tells whether its key is
// among that, so that its front can be told.
func open(m transport.Message) (e *envelope, info wire.Info, key bool, err error) {
	info, err = wire.ParseInfo(m[0])
	switch {
	case err != nil:
		// Cut behind prime_server's part, every frame with a key is readable.
		info, bad := wire.ParseInfo(m[0][:min(len(m[0]), wire.PrimeInfo)])
		return nil, info, bad == nil, &MessageError{"job", err}
	case len(m[0]) > maxInfo:
		return nil, info, true, &MessageError{"job", fmt.Errorf("info frame of %d bytes, more than %d", len(m[0]), maxInfo)}
	case len(m) < 2:
		return nil, info, true, &MessageError{"job", fmt.Errorf("%d frame, want an info frame and a payload", len(m))}
	}
	if !info.Extended && info.Extend() && bytes.HasPrefix(m[1], []byte("HEAD ")) {
		info.Flags |= wire.Head
	}
	e = &envelope{message: m}
	e.Info, e.Payload, e.Size = info, e, wire.Frames(m[1:]).Size()
	return e, info, true, nil
}

// enclose makes a message of a job that was made here.
func enclose(job *loopback.Job) *envelope {
	e := &envelope{Job: *job, message: append(transport.Message{nil}, job.Payload.Frames()...)}
	e.Payload = e
	return e
}

// nameable says why a job cannot name a butterfly worker's slot, if so: the
// foreign bytes of its info frame leave no room.
func (e *envelope) nameable() error {
	if e.Info.Extended {
		return nil
	}
	info := e.Info
	if info.Enclose() {
		return nil
	}
	return &MessageError{"job", fmt.Errorf("more than %d foreign bytes in the info frame", wire.MaxForeign)}
}

// again returns the job for another slot, in memory of its own: the first
// message may still be on its way.
func (e *envelope) again() *loopback.Job {
	c := &envelope{Job: e.Job, message: slices.Clone(e.message), arrival: e.arrival}
	c.Payload = c
	return &c.Job
}

// render returns the message for a slot. It may be called again only when the
// transport has done with the last one.
func (e *envelope) render(kind Kind, number uint16) transport.Message {
	info := e.Info
	if kind == Butterfly {
		info.Enclose() // the worker restores the frame when it hands it on
		info.Attempt = e.Info.Attempt
	}
	info.Slot = number
	e.message[0] = info.AppendTo(e.room[:0])
	return e.message
}
