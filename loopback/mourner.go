package loopback

import (
	"context"
	"sync"
	"time"
)

// Mourner is told of fronts that have gone, by their instances.
type Mourner interface {
	// FrontGone says that nobody is to work for a front any more: it has been
	// away for too long, or, replaced, another one is in its place. In the first
	// case it may still come back and wants to know what became of its jobs. It
	// does not block.
	FrontGone(front uint64, replaced bool)
	// FrontBack says that a front that had gone is back.
	FrontBack(front uint64)
}

// Attendance notices that fronts have gone: those to which neither a Sender nor a
// Subscriber that was given it has a connection.
type Attendance struct {
	to   Mourner
	wake chan struct{}

	mu    sync.Mutex // guards here, and the order in which to is told
	here  presence
	armed time.Time // when Run looks next; zero: it waits to be woken
}

// NewAttendance returns an Attendance that tells to. grace is how long a front
// may be away; 0: DefaultFrontGrace, negative: for ever, unless another comes.
func NewAttendance(grace time.Duration, to Mourner) *Attendance {
	if grace == 0 {
		grace = DefaultFrontGrace
	}
	return &Attendance{to: to, wake: make(chan struct{}, 1), here: presence{grace: grace}}
}

// Run waits for fronts that are away, until ctx ends. It returns nil.
func (a *Attendance) Run(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if at, any := a.look(time.Now()); any {
			timer.Reset(time.Until(at))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-a.wake:
		case <-timer.C:
		}
	}
}

// look does what is due, and returns when to look again, if at all.
func (a *Attendance) look(now time.Time) (time.Time, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tell(a.here.due(now))
	at, any := a.here.next()
	a.armed = at
	return at, any
}

// up says that there is a connection to a front; nil takes no note.
func (a *Attendance) up(endpoint string, front uint64) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tell(a.here.up(endpoint, front, time.Now()))
}

// down says that there is none any more.
func (a *Attendance) down(endpoint string) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tell(a.here.down(endpoint, time.Now()))
	if at, any := a.here.next(); any && (a.armed.IsZero() || at.Before(a.armed)) {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
}

// tell tells of changes. The caller holds the lock.
func (a *Attendance) tell(changes []change) {
	for _, c := range changes {
		if c.gone {
			a.to.FrontGone(c.front, c.replaced)
		} else {
			a.to.FrontBack(c.front)
		}
	}
}
