package httpfront

import (
	"sync/atomic"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/stats"
)

// Class is a kind of answer.
type Class int

// The classes: by the first digit of the status, but for clients that left
// before there was an answer, whom the access log shows as 499.
const (
	Success Class = iota
	Redirect
	ClientError
	ServerError
	HungUp
	classes
)

// String returns 2xx, 3xx, 4xx, 5xx or 499.
func (c Class) String() string { return [...]string{"2xx", "3xx", "4xx", "5xx", "499"}[c] }

// Classes returns all classes.
func Classes() []Class { return []Class{Success, Redirect, ClientError, ServerError, HungUp} }

func classOf(status int) Class {
	switch {
	case status == statusHungUp:
		return HungUp
	case status < 300:
		return Success
	case status < 400:
		return Redirect
	case status < 500:
		return ClientError
	}
	return ServerError
}

// Served counts answers, and how long they took. Its zero value is empty, it is
// safe for concurrent use, and must not be copied.
type Served struct {
	took   [classes]stats.Durations
	unread [classes]atomic.Uint64 // requests that could not be read: nobody knows when they began
}

// Requests returns how many answers of a class there were.
func (s *Served) Requests(c Class) uint64 {
	took := s.took[c].Read()
	return took.Count() + s.unread[c].Load()
}

// Took returns for how long requests were there, from their head to their
// answer, or to its last part; those left out that could not be read.
func (s *Served) Took(c Class) stats.Distribution { return s.took[c].Read() }

// note tells whoever counts or logs that the answer is ready, or has left if it
// was a stream, with so many bytes of its body.
func (x *exchange) note(bytes int) {
	if x.to == nil && x.front.access == nil {
		return
	}
	now := time.Now()
	if x.to != nil {
		if class := classOf(x.ctx.Response.StatusCode()); x.began.IsZero() {
			x.to.unread[class].Add(1)
		} else {
			x.to.took[class].Observe(now.Sub(x.began))
		}
	}
	if x.front.access != nil {
		x.front.access.note(x, now, bytes)
	}
}

// Stats is what a front has, and had since it was made.
type Stats struct {
	Conns    int    // open connections
	Accepted uint64 // connections so far
	// Connections turned away: over MaxConns, and over MaxConnsPerClient.
	Crowded, Greedy uint64
	ReceivingBytes  int64  // of bodies that are being received: see Config.MaxReceiving
	NoRoom          uint64 // bodies refused over MaxReceiving
	UnsentBytes     int64  // of answers that clients take their time to read: see Config.MaxUnsent
	Cut             uint64 // of those, cut over MaxUnsent
	Unsubmitted     uint64 // jobs that their stage did not take
	TooLate         uint64 // requests refused since they could not be answered in time: see Lane
	Ready           bool   // what ReadyPath would say
}

// Stats returns what the front has. It asks Config.Ready, and locks what
// connections use for a moment.
func (f *Front) Stats() Stats {
	s := Stats{
		ReceivingBytes: f.receiving.bytes.Load(),
		NoRoom:         f.receiving.full.Load(),
		Unsubmitted:    f.refused.all.Load(),
		TooLate:        f.tooLate.Load(),
		Ready:          f.unready() == "",
	}
	f.conns.mu.Lock()
	s.Conns, s.Accepted = len(f.conns.open), f.conns.last
	s.Crowded, s.Greedy = f.conns.crowded, f.conns.greedy
	f.conns.mu.Unlock()
	f.unsent.mu.Lock()
	s.UnsentBytes, s.Cut = f.unsent.bytes, f.unsent.cut
	f.unsent.mu.Unlock()
	return s
}
