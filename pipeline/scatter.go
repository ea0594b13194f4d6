package pipeline

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// Policy says when the parts of a scattered job are joined, and what becomes of
// errors.
type Policy = wire.Policy

// The policies.
const (
	// All joins once every part has come. The first part that fails answers the
	// client with its error.
	All = wire.All
	// Any joins once one part has come. Only if all fail the client is told, of
	// the last error.
	Any = wire.Any
	// BestEffort joins once every part has come or failed, or at the timeout:
	// the join sees which ones failed and which are missing.
	BestEffort = wire.BestEffort
)

// MaxParts is into how many parts a job may be scattered at most.
const MaxParts = wire.MaxParts

// Fan says how a job is scattered and its parts are joined.
type Fan struct {
	// Stage is where the parts go: a next one of this.
	Stage string
	// Join is the stage that gets one job again, with all the parts: what the
	// parts' workers forward to it. It is to be a next one of this stage and of
	// the stage, or stages, by which the parts come.
	Join string
	// Width bounds how many of the parts are queued or in work at a stage at a
	// time, so that a job of many parts does not keep others waiting; 0: all at
	// once.
	Width int
	// Policy says when the parts are joined.
	Policy Policy
	// Timeout is how long the join waits for parts, in whole milliseconds: then
	// BestEffort goes on with those that have come, and for the others the
	// client is told 504. 0: until the request's deadline, which answers 504.
	Timeout time.Duration
}

// scattering is a Result's.
type scattering struct {
	Fan
	parts [][][]byte
}

// Scatter splits the job into parts of one frame each, at least one, of which
// each becomes a job for the stage Fan.Stage. Together they are one request: its
// deadline holds for them, and when it ends all stop. What their workers forward
// to the stage Fan.Join comes there as one job, whose handler reads it by
// Job.Parts. A part cannot be scattered again; the joined job can. The parts are
// given away.
func Scatter(f Fan, parts ...[]byte) Result {
	framed := make([][][]byte, len(parts))
	for i, p := range parts {
		framed[i] = [][]byte{p}
	}
	return ScatterFrames(f, framed...)
}

// ScatterFrames is Scatter for parts of several frames each.
func ScatterFrames(f Fan, parts ...[][]byte) Result {
	return Result{kind: scattered, scattering: &scattering{f, parts}}
}

// Scattered returns how the result scatters the job, if it does, and the frames
// of the parts.
func (r Result) Scattered() (f Fan, parts [][][]byte, ok bool) {
	if r.kind != scattered {
		return Fan{}, nil, false
	}
	return r.scattering.Fan, r.scattering.parts, true
}

// ScatterError says why a job cannot be scattered as its handler wants.
type ScatterError struct {
	Stage  string // the handler's
	Reason string
}

func (e *ScatterError) Error() string {
	return fmt.Sprintf("pipeline: stage %q cannot scatter the job: %s", e.Stage, e.Reason)
}

// check says what is wrong with the scattering of a job.
func (r *scattering) check(stage string, info *wire.Info) error {
	reason := ""
	switch {
	case len(r.parts) == 0:
		reason = "there are no parts"
	case len(r.parts) > MaxParts:
		reason = fmt.Sprintf("%d parts are too many, at most %d", len(r.parts), MaxParts)
	case r.Width < 0:
		reason = fmt.Sprintf("a width of %d is negative", r.Width)
	case r.Timeout < 0:
		reason = fmt.Sprintf("a timeout of %s is negative", r.Timeout)
	case r.Policy > BestEffort:
		reason = fmt.Sprintf("there is no %s", r.Policy)
	case r.Join == "":
		reason = "no stage is named where its parts are joined"
	case r.Stage == r.Join:
		reason = fmt.Sprintf("the parts are worked on and joined at the same stage %q", r.Join)
	case info.Extended && info.Piece() != nil:
		reason = "it is a part of a job that was scattered before"
	}
	for i, p := range r.parts {
		if len(p) == 0 {
			reason = fmt.Sprintf("part %d has no frames", i)
		}
	}
	if reason != "" {
		return &ScatterError{Stage: stage, Reason: reason}
	}
	return nil
}

// piece returns what the envelopes of all parts have in common.
func (r *scattering) piece(hops uint32) wire.Piece {
	ms := (r.Timeout + time.Millisecond - 1) / time.Millisecond
	return wire.Piece{
		Total:   uint32(len(r.parts)),
		Group:   hops,
		Join:    wire.StageHash(r.Join),
		Width:   uint32(min(int64(r.Width), math.MaxUint32)),
		Timeout: uint32(min(int64(ms), math.MaxUint32)),
		Policy:  r.Policy,
	}
}

// scatter submits the parts of a job. If it fails the job's envelope says
// whether parts may be out: then the answer stops them.
func (s *slot) scatter(job *loopback.Job, c *call, r *scattering) error {
	stage := s.pool.cfg.Stage
	if err := r.check(stage, &job.Info); err != nil {
		return err
	}
	to, err := s.pool.next(r.Stage)
	if err != nil {
		return err
	}
	join, err := s.pool.next(r.Join)
	if err != nil {
		return err
	}
	info := &job.Info
	if !info.Extend() || info.Enclosed() || !info.SetPiece(&wire.Piece{Total: 1}) {
		return &ScatterError{Stage: stage, Reason: "its envelope has no room for that"}
	}
	info.SetPiece(nil)
	info.Flags |= wire.Scattered
	info.Hops = max(1, info.Hops) // parts are never a front's
	piece := r.piece(info.Hops)
	if m, ok := join.(interface{ Meet() uint16 }); ok {
		piece.Meet = m.Meet()
	}
	f := &fan{call: c, policy: r.Policy, left: len(r.parts)}
	s.hold(c, loopback.Answer{}, *info)
	if err := s.spread(f, to, info, &piece, r); err != nil {
		f.abandon()
		return fmt.Errorf("pipeline: scattering to stage %q: %w", r.Stage, errors.Join(errBusy, err))
	}
	return nil
}

// spread submits the parts, and first tells the join of them where that has to
// know from when on to wait, or is one of several proxies: one that drains has to
// stay for parts that are still with other stages.
func (s *slot) spread(f *fan, to loopback.Stage, info *wire.Info, piece *wire.Piece, r *scattering) error {
	if join := s.pool.joins[piece.Join]; join != nil && (piece.Timeout > 0 || piece.Meet != 0) {
		opening := *piece
		opening.Opening = true
		f.left++
		if err := join.Submit(pieceOf(info, opening, wire.Frames{nil}), &partSent{fan: f}); err != nil {
			return err
		}
	}
	for i, frames := range r.parts {
		p := *piece
		p.Index = uint32(i)
		part := pieceOf(info, p, frames)
		if err := to.Submit(part, &partSent{fan: f, info: part.Info}); err != nil {
			return err
		}
	}
	return nil
}

// pieceOf returns the job of a part.
func pieceOf(info *wire.Info, p wire.Piece, payload wire.Frames) *loopback.Job {
	job := &loopback.Job{Info: *info, Payload: payload, Size: payload.Size()}
	job.Info.SetPiece(&p)
	return job
}

// fan is the outcome of a job that was scattered: the slot has done with it once
// all parts have reached the kernel, or wait for a connection.
type fan struct {
	call   *call
	policy Policy

	mu      sync.Mutex // guards the fields below
	left    int        // parts of which nothing was heard yet
	waiting error      // of a part that waits for a connection
	over    bool       // nothing is to be told any more
}

// abandon makes what will still be heard of parts be ignored: the call has
// another outcome.
func (f *fan) abandon() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
}

// settle takes what was heard of one part, and tells the call when that was the
// last, and of the first error that the client is to be told.
func (f *fan) settle(p *partSent, err error) {
	f.mu.Lock()
	first := !p.heard
	p.heard = true
	if errors.Is(err, transport.ErrWaiting) {
		f.waiting, err = err, nil
	}
	if first {
		f.left--
	}
	tell := !f.over && (err != nil || first && f.left == 0)
	if err != nil {
		f.over = true
	} else {
		err = f.waiting
	}
	f.mu.Unlock()
	if tell {
		f.call.Sent(err)
	}
}

// partSent hears the fate of one part.
type partSent struct {
	fan   *fan
	info  wire.Info // of the part; without a piece: of what tells the join
	heard bool      // guarded by fan.mu
}

// Sent implements transport.Notifier: it may hear that the part waits, and again
// if it gets lost. Where other parts may make up for one that got lost, the
// join is told instead of the client.
func (p *partSent) Sent(err error) {
	lost := err != nil && !errors.Is(err, transport.ErrWaiting) && !errors.Is(err, transport.ErrClosed)
	if lost && p.fan.policy != All {
		if join := p.fan.call.slot.joinOf(&p.info); join != nil && join.Submit(failedPart(&p.info, 502, lostReason), nil) == nil {
			err = nil
		}
	}
	p.fan.settle(p, err)
}

const lostReason = "the job was lost between two stages"

// failedPart returns a part that tells the join of its error.
func failedPart(info *wire.Info, status int, reason string) *loopback.Job {
	p := *info.Piece()
	p.Failed = true
	job := pieceOf(info, p, wire.Frames{[]byte(reason)})
	job.Info.Code = uint16(status)
	return job
}

// joinOf returns the stage to which the error of a part goes instead of to the
// client, or nil.
func (s *slot) joinOf(info *wire.Info) loopback.Stage {
	if !info.Extended || info.Piece() == nil || info.Piece().Policy == All {
		return nil
	}
	return s.pool.joins[info.Piece().Join]
}

// failPart makes an error the outcome of a part, and reports whether it could:
// otherwise the client is to be told. The call has been held, or is so still.
func (s *slot) failPart(info *wire.Info, c *call, status int, reason string) bool {
	join := s.joinOf(info)
	if join == nil {
		return false
	}
	job := failedPart(info, status, reason)
	c.note(loopback.Answer{}, job.Info)
	return join.Submit(job, c) == nil
}
