// Package loopback is the way back: it holds the front's table of open
// requests, what brings answers to it and interrupts from it, and the small
// vocabulary (Job, Answer, Stage, Slot) in which fronts, proxies and workers
// talk to one another, be it inside one process or over ZeroMQ.
package loopback

import (
	"time"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// Job is what travels from a front to a stage and from stage to stage.
//
// Whoever submits a job gives it away: from then on only its new holder may
// change it. The payload's bytes are shared and never changed.
type Job struct {
	Info    wire.Info
	Payload wire.Payload
	Size    int // bytes of the payload's frames, for bounds
}

// Answer is what goes straight back to the front that waits: the whole answer,
// or, with the flag Stream, a part of it.
type Answer struct {
	Info    wire.Info
	Payload wire.Payload
	From    Origin // of a part: who sends the stream
}

// Stage takes jobs. Implementations are safe for concurrent use.
type Stage interface {
	// Submit hands job over and does not wait for a worker. Where sent is not
	// nil it is told once when the job has reached the kernel, or cannot any
	// more; inside one process that is before Submit returns. While the stage
	// is away it is told transport.ErrWaiting, and then once more only if the
	// job gets lost. If Submit returns an error the caller keeps the job and
	// sent is not told.
	Submit(job *Job, sent transport.Notifier) error
}

// Gauge is a Stage that knows how long its jobs wait.
type Gauge interface {
	// Wait returns how long it takes until all jobs that wait at the stage now
	// have got workers, by what it was measured to do; 0 where that is not known.
	// It does not block.
	Wait() time.Duration
	// Busy reports how many jobs the stage does at a time, and whether more wait
	// while no worker is idle. It does not block.
	Busy() (slots int, backlogged bool)
}

// Answerer takes answers. Implementations are safe for concurrent use.
type Answerer interface {
	// Answer sends a to the front that its info frame names; sent as in
	// Stage.Submit. Of several answers to one request the first wins.
	Answer(a Answer, sent transport.Notifier) error
}

// Interrupter is told the keys of jobs that nobody waits for any more.
type Interrupter interface {
	// Interrupt stops work on a job. It does not block, and does nothing for
	// jobs that it does not know.
	Interrupt(key wire.Key)
}

// Reclaimer is a Slot whose stage may deal itself with a job that takes longer
// than it may.
type Reclaimer interface {
	Slot
	// GiveUp says that the job which Next gave last has no outcome. It reports
	// whether the stage gives the job to another slot or refuses it, which it
	// is told at the latest when Next is called; if not, the client is the
	// caller's to tell. It may come from any goroutine.
	GiveUp() bool
	// Begun says that the job which Next gave last has begun to be answered in
	// parts, so that it may take longer. It may come from any goroutine.
	Begun()
}

// Slot is one place for a job at a stage, held by a worker. Next and Hold are
// for one goroutine; Sent and Leave may come from any.
type Slot interface {
	// Next says that the slot is idle, with beat for the stage's chooser, and
	// blocks until a job is given to it. It returns false when the stage has
	// closed: then no job comes any more.
	//
	// After a job whose outcome was handed to a Stage or Answerer together
	// with this slot as its transport.Notifier, a slot of a networked stage
	// says so only once the outcome has reached the kernel.
	Next(beat []byte) (*Job, bool)
	// Hold announces that the outcome of the job is about to be handed over
	// with the slot as its Notifier: the next beat, with these bytes, waits
	// for Sent. A slot inside one process has nothing to wait for.
	Hold(beat []byte)
	transport.Notifier
	// Leave gives the slot up: Next, also one that blocks, returns false, once
	// a job that was already given to the slot has been taken. A job that its
	// holder is doing is the holder's to finish. Leaving twice is leaving once.
	Leave()
}
