package loopback

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// DefaultStreamWindow is what the parts of a stream may cost that its client has
// not been sent yet: the least that it can be, since a worker may send as much
// unasked.
const DefaultStreamWindow = wire.InitialCredit

// Origin is whoever sends the parts of a stream, as the front sees it: parts of
// one stream come from one Origin, and == tells them apart. Its methods do not
// block, may be called concurrently, and do nothing for streams that it does
// not send.
type Origin interface {
	// Credit lets the parts of a stream cost granted in all, from its
	// beginning. Less than was granted before means nothing.
	Credit(key wire.Key, granted uint64)
	// Refuse says that nobody takes the parts of a stream.
	Refuse(key wire.Key)
}

// What cuts a stream, beside a PartError and what ends a request.
var (
	// ErrStalled: no part of a stream came in time.
	ErrStalled = errors.New("loopback: the next part of the stream took too long")
	// ErrSenderLost: the connection to the sender of a stream was lost.
	ErrSenderLost = errors.New("loopback: the sender of the stream was lost")
)

// PartError says what is wrong with a part of a stream.
type PartError struct {
	Key    wire.Key
	Part   uint32
	Code   int // what the sender said that failed; 0: the part itself is wrong
	Reason string
}

func (e *PartError) Error() string {
	return fmt.Sprintf("loopback: stream %s, part %d: %s", e.Key, e.Part, e.Reason)
}

// Stream is an answer that comes in parts. One goroutine reads it; parts that it
// has not read are held, up to a window. It ends with its last part, or is cut:
// by what ends a request otherwise, by a part that is wrong, or by the loss of
// its sender.
type Stream struct {
	key       wire.Key
	from      Origin // may be nil
	window    uint64
	scattered bool          // other parts of the job may be worked on
	ready     chan struct{} // holds a token once there may be news for the reader
	idle      *time.Timer   // the reader's; nil before it is needed

	mu      sync.Mutex // guards the fields below
	part    uint32     // number of the next part
	cost    uint64     // of all parts so far
	granted uint64
	given   uint64 // cost when the bytes that the reader has now were given to it
	bytes   []byte // for the reader
	spare   []byte // what the reader had before
	err     error  // why no more parts come; io.EOF: the stream has ended
}

func newStream(key wire.Key, window int64, a *Answer) *Stream {
	return &Stream{
		key: key, from: a.From, window: uint64(window), granted: wire.InitialCredit,
		scattered: a.Info.Flags.Has(wire.Scattered), ready: make(chan struct{}, 1),
	}
}

// take takes the next part, of the right origin, and reports whether it is the
// last. The error says that it cannot be taken, or that the stream has failed.
func (s *Stream) take(a *Answer) (last bool, err error) {
	bytes, err := partBytes(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	info := &a.Info
	last = info.Flags.Has(wire.StreamEnd)
	cost := wire.PartCost(len(bytes))
	wrong := ""
	switch {
	case s.err != nil:
		return false, s.err
	case err != nil:
		wrong = err.Error()
	case info.Part != s.part:
		wrong = fmt.Sprintf("part %d was to come", s.part)
	case s.cost+cost > s.granted:
		wrong = fmt.Sprintf("it makes %d bytes, and %d were granted", s.cost+cost, s.granted)
	}
	if wrong != "" {
		return false, &PartError{Key: s.key, Part: info.Part, Reason: wrong}
	}
	if last && s.part > 0 && info.Code != 0 {
		err = &PartError{Key: s.key, Part: info.Part, Code: int(info.Code), Reason: "its sender gave up"}
	}
	s.part++
	s.cost += cost
	s.bytes = append(s.bytes, bytes...)
	s.tell()
	return last, err
}

// partBytes returns what a part adds to the stream: the first one, which begins
// with a head, is for the reader to take apart.
func partBytes(a *Answer) ([]byte, error) {
	if a.Info.Part == 0 {
		return nil, nil
	}
	frames := a.Payload.Frames()
	if len(frames) != 1 {
		return nil, fmt.Errorf("it has %d frames, want 1", len(frames))
	}
	return frames[0], nil
}

// tell wakes the reader. The caller holds the lock.
func (s *Stream) tell() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// end says that no more parts come; nil: the stream has come to its end.
func (s *Stream) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		err = io.EOF
	}
	if s.err == nil {
		s.err = err
		s.tell()
	}
}

// Next returns the bytes that have come since the last call, and waits for some
// if there are none: for idle at most, if that is positive, and then returns
// ErrStalled. The bytes are the caller's until it calls Next again, by which it
// says that they have left, so that as many more may come. When all have been
// returned the error is io.EOF, or why the stream was cut.
func (s *Stream) Next(idle time.Duration) ([]byte, error) {
	for {
		bytes, grant, err := s.swap()
		if grant > 0 && s.from != nil {
			s.from.Credit(s.key, grant)
		}
		if len(bytes) > 0 || err != nil {
			return bytes, err
		}
		if !s.wait(idle) {
			return nil, ErrStalled
		}
	}
}

// swap gives the bytes gathered so far to the reader, and takes those back that
// it had. It returns what is to be granted now, or 0.
func (s *Stream) swap() (bytes []byte, grant uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if may := s.given + s.window; s.err == nil && may >= s.granted+s.window/2 {
		s.granted, grant = may, may
	}
	if len(s.bytes) == 0 {
		s.given = s.cost
		return nil, grant, s.err
	}
	bytes = s.bytes
	s.bytes, s.spare = s.spare[:0], bytes
	s.given = s.cost
	return bytes, grant, nil
}

// wait waits for news, for idle at most, and reports whether there are any: an
// empty part is a sign of life, too.
func (s *Stream) wait(idle time.Duration) bool {
	if idle <= 0 {
		<-s.ready
		return true
	}
	if s.idle == nil {
		s.idle = time.NewTimer(idle)
	} else {
		s.idle.Reset(idle)
	}
	defer s.idle.Stop()
	select {
	case <-s.ready:
		return true
	case <-s.idle.C:
		return false
	}
}

// repeat tells the sender once more what it was granted.
func (s *Stream) repeat() {
	s.mu.Lock()
	granted := s.granted
	s.mu.Unlock()
	if s.from != nil {
		s.from.Credit(s.key, granted)
	}
}

// part takes a part of a stream: the first one of an open request begins the
// stream and ends the wait for the answer, and its deadline.
func (t *Table) part(a *Answer) {
	t.mu.Lock()
	s, dead := t.streamOf(a)
	if s == nil {
		t.stats.Late++
	}
	t.mu.Unlock()
	t.interrupt(dead...)
	if s == nil {
		if a.From != nil {
			a.From.Refuse(a.Info.Key())
		}
		return
	}
	last, err := s.take(a)
	switch {
	case last || err != nil:
		t.over(s, err, last)
	case a.Info.Part > 0 && len(a.Payload.Frames()[0]) == 0:
		s.repeat()
	}
}

// streamOf returns the stream that a part belongs to, or nil, and the keys of jobs
// that nobody needs since this one streams. A stream that was begun is its first
// sender's. The caller holds the lock.
func (t *Table) streamOf(a *Answer) (s *Stream, dead []wire.Key) {
	p := t.find(&a.Info)
	switch {
	case p == nil:
		return nil, nil
	case p.stream == nil && a.Info.Part == 0:
		if p.heapIndex >= 0 {
			t.deadlines.remove(p)
		}
		p.answer, p.stream = *a, newStream(a.Info.Key(), t.cfg.StreamWindow, a)
		dead = p.except(a.Info.ID)
		p.done <- struct{}{}
	case p.stream == nil || p.stream.from != a.From || p.stream.key != a.Info.Key():
		return nil, nil
	}
	return p.stream, dead
}

// over ends a stream's request: last says that its sender has ended it.
func (t *Table) over(s *Stream, err error, last bool) {
	t.mu.Lock()
	p := t.lookup(s.key)
	if p == nil || p.stream != s {
		t.mu.Unlock()
		return
	}
	if err == nil {
		t.stats.Answered++
	} else {
		t.stats.Failed++
	}
	t.end(p, err)
	t.mu.Unlock()
	if !last || s.scattered {
		t.interrupt(s.key)
	}
}

// Gone cuts the streams of an origin from which nothing comes any more.
func (t *Table) Gone(from Origin) {
	var cut []*Stream
	t.mu.Lock()
	for _, p := range t.open {
		if p.stream != nil && p.stream.from == from {
			cut = append(cut, p.stream)
		}
	}
	t.mu.Unlock()
	for _, s := range cut {
		t.over(s, ErrSenderLost, false)
	}
}
