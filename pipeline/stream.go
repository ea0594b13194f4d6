package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// MaxGathered bounds the body of a streamed answer where it cannot travel in
// parts and is gathered instead: behind a prime_server front, and in Client.Do.
const MaxGathered = 16 << 20

var (
	// ErrStreamOver is returned by a StreamWriter after its function has.
	ErrStreamOver = errors.New("pipeline: the stream is over")
	// ErrGatheredTooLarge says that a streamed answer which has to be gathered is
	// larger than MaxGathered.
	ErrGatheredTooLarge = fmt.Errorf("pipeline: the streamed answer has more than %d bytes and cannot travel in parts", MaxGathered)
)

// Stream answers the client in parts: with the status, the header and the body,
// if any, of r, and then with what send writes. r is given away. send is called
// when the handler has returned, in the same slot, which is taken until send
// returns.
//
// send gets the context of the job: it ends when the client has left or cannot
// be reached any more. The request's deadline, and the stage's timeout, hold until
// the first part has left; from then on the front wants a part every once in a while.
//
// If send returns an error, or panics, after the first part, the client's
// connection is ended so that the client can tell that something is missing.
// Before that it is answered with the error as by Handle.
func Stream(r *Response, send func(ctx context.Context, w *StreamWriter) error) Result {
	return Result{kind: streamed, response: r, send: send}
}

// StreamWriter sends the parts of an answer. It is for one goroutine at a time.
type StreamWriter struct{ to *stream }

// Write implements io.Writer: what it is given is on its way when it returns. It
// blocks while the client does not keep up. The error is that of the job's
// context, or says why the answer cannot be sent; p is the caller's.
func (w *StreamWriter) Write(p []byte) (int, error) { return w.to.write(p) }

// WriteString is Write for a string.
func (w *StreamWriter) WriteString(s string) (int, error) { return w.to.write([]byte(s)) }

// Flush sends the head of the answer if nothing has been written yet. What has
// been written needs no flush.
func (w *StreamWriter) Flush() error { return w.to.flush() }

// stream is the answer to one job while it is sent in parts. Its fields belong
// to the goroutine of the writer but for what mu guards. It is a
// loopback.Origin, and the transport.Notifier of all parts but the last.
type stream struct {
	slot *slot
	call *call
	head *Response
	info wire.Info // of the next part
	cost uint64    // of all parts so far
	sent bool      // the first part was handed over
	over bool      // send has returned

	gathers  bool // the parts cannot travel: they make one answer
	gathered []byte

	ready   chan struct{} // holds a token once there is more credit
	mu      sync.Mutex    // guards granted
	granted uint64
}

// probe is how often a stream without credit asks whether it is still wanted: a
// grant or an interrupt may have been lost.
const probe = time.Second

// enough is for how much credit a long write waits, so that parts do not become
// tiny. It is less than half of the least window, after which there is a grant.
const enough = 8 << 10

// stream runs a handler's send function.
func (s *slot) stream(c *call, r Result) error {
	if r.response == nil || r.send == nil {
		return errNoResult
	}
	if err := r.response.Check(); err != nil {
		return err
	}
	st := &stream{
		slot: s, call: c, head: r.response, info: *c.job.info,
		granted: wire.InitialCredit, ready: make(chan struct{}, 1),
	}
	c.stream = st
	st.info.Flags = st.info.Flags&^wire.StreamEnd | wire.Stream
	if st.info.Key().Instance == 0 {
		st.gathers = true
	} else {
		defer s.pool.streams.add(c.key, st)()
		if w, ok := s.pool.cfg.Loopback.(watcher); ok {
			defer w.Watch(c.job.info, func() { s.interrupt(c.key) })()
		}
	}
	defer func() { st.over = true }()
	first := st.head.Body
	st.head.Body = nil
	if len(first) > 0 {
		if _, err := st.write(first); err != nil {
			return err
		}
	}
	return r.send(&c.ctx, &StreamWriter{st})
}

// watcher is a loopback that tells when the way to a job's front is lost.
type watcher interface {
	Watch(i *wire.Info, lost func()) (end func())
}

func (st *stream) write(p []byte) (n int, err error) {
	if err := st.check(); err != nil {
		return 0, err
	}
	if st.gathers {
		return st.gather(p)
	}
	for n < len(p) {
		room, err := st.room(len(p) - n)
		if err == nil {
			err = st.hand(p[n:n+room], false)
		}
		if err != nil {
			return n, err
		}
		n += room
	}
	return n, nil
}

func (st *stream) flush() error {
	if err := st.check(); err != nil || st.sent || st.gathers {
		return err
	}
	return st.hand(nil, false)
}

func (st *stream) check() error {
	if st.over {
		return ErrStreamOver
	}
	return st.call.ctx.Err()
}

func (st *stream) gather(p []byte) (int, error) {
	if len(st.gathered)+len(p) > MaxGathered {
		return 0, ErrGatheredTooLarge
	}
	st.gathered = append(st.gathered, p...)
	return len(p), nil
}

// room waits until a part of up to n bytes may be sent, and returns of how many.
func (st *stream) room(n int) (int, error) {
	n = min(n, wire.MaxPart)
	if !st.sent {
		return n, nil // the first part costs nothing
	}
	least := wire.PartCost(min(n, enough))
	var asks *time.Ticker
	for {
		if credit := st.credit(); credit >= least {
			return min(n, int(min(credit, 2*wire.MaxPart))-wire.PartOverhead), nil
		}
		if asks == nil {
			asks = time.NewTicker(probe)
			defer asks.Stop()
		}
		select {
		case <-st.ready:
		case <-st.call.ctx.Done():
			return 0, st.call.ctx.Err()
		case <-asks.C:
			if err := st.hand(nil, false); err != nil {
				return 0, err
			}
		}
	}
}

func (st *stream) credit() uint64 {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.granted - st.cost
}

// hand hands the next part over. It copies p.
func (st *stream) hand(p []byte, last bool) error {
	a := st.next(p, last)
	if err := st.slot.pool.cfg.Loopback.Answer(a, st); err != nil {
		return fmt.Errorf("pipeline: sending a part of the answer: %w", err)
	}
	return nil
}

// next makes the next part, and counts it.
func (st *stream) next(p []byte, last bool) loopback.Answer {
	a := loopback.Answer{Info: st.info, From: st}
	if last {
		a.Info.Flags |= wire.StreamEnd
	}
	body := append([]byte(nil), p...)
	if st.sent {
		a.Payload = wire.Frames{body}
		st.cost += wire.PartCost(len(body))
	} else {
		a.Info.Code = uint16(st.head.Status)
		if a.Info.Code == 0 {
			a.Info.Code = 200
		}
		st.head.Body = body
		a.Payload = &httptext.Opening{Response: st.head}
		st.call.ctx.lift()
		st.slot.begun(st.call)
		st.sent = true
	}
	st.info.Part++
	return a
}

// Sent implements transport.Notifier: a part that is lost ends the stream. One
// that waits for its front to come back may still be in time.
func (st *stream) Sent(err error) {
	if err != nil && !errors.Is(err, transport.ErrWaiting) {
		st.slot.interrupt(st.call.key)
	}
}

// Credit implements loopback.Origin.
func (st *stream) Credit(_ wire.Key, granted uint64) {
	st.mu.Lock()
	st.granted = max(st.granted, granted)
	st.mu.Unlock()
	select {
	case st.ready <- struct{}{}:
	default:
	}
}

// Refuse implements loopback.Origin.
func (st *stream) Refuse(wire.Key) { st.slot.interrupt(st.call.key) }

// endStream delivers the last part of c's stream, whatever ended it. It reports
// whether it could: an error before the first part is an answer like any other.
func (s *slot) endStream(c *call, err error) bool {
	st := c.stream
	if err != nil && (!st.sent || st.gathers) {
		return false
	}
	if st.gathers {
		st.head.Body = st.gathered
		s.answer(st.info, c, st.head)
		return true
	}
	a := st.next(nil, true)
	if err != nil {
		s.failed.Add(1)
		a.Info.Code = uint16(s.failure(c, err).Status)
	}
	s.hold(c, a, a.Info)
	s.send(c, a)
	return true
}

// streams are those that a pool sends now.
type streams struct {
	mu   sync.Mutex // guards open
	open map[wire.Key]*stream
}

// add takes a stream in until remove is called.
func (s *streams) add(key wire.Key, st *stream) (remove func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = make(map[wire.Key]*stream)
	}
	s.open[key] = st
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.open[key] == st {
			delete(s.open, key)
		}
	}
}

func (s *streams) find(key wire.Key) *stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[key]
}

// Credit implements loopback.Origin for the streams that the pool sends.
func (p *Pool) Credit(key wire.Key, granted uint64) {
	if st := p.streams.find(key); st != nil {
		st.Credit(key, granted)
	}
}

// Refuse implements loopback.Origin.
func (p *Pool) Refuse(key wire.Key) {
	if st := p.streams.find(key); st != nil {
		st.Refuse(key)
	}
}
