package transport

import (
	"math"
	"sync/atomic"
	"time"
)

// watchdog declares a peer dead that was silent or took nothing for too long,
// and has PINGs sent. It is one timer; reader and writer only leave marks.
//
// look and its fields belong to the timer's function, which is never running
// twice: it sets the timer again when it is done.
type watchdog struct {
	peer    *Peer
	period  time.Duration
	timer   *time.Timer
	stopped atomic.Bool

	heard  time.Time // when the peer was last known to have been heard
	pinged time.Time
	writes uint64 // the connection's mark when it was last seen to change
	moved  time.Time
}

// never is further away than any process lives.
const never = time.Duration(math.MaxInt64)

// startWatchdog watches p until stop.
func startWatchdog(p *Peer) *watchdog {
	now := time.Now()
	p.conn.heard.Store(false) // the handshake's bytes are accounted for by now
	w := &watchdog{peer: p, period: p.o.watchPeriod(), heard: now, pinged: now, moved: now}
	// It is set only now, so that its function finds it in w.
	w.timer = time.AfterFunc(never, w.tick)
	w.timer.Reset(w.period)
	return w
}

// watchPeriod is how often a watchdog looks: often enough for PINGs to be in
// time and for timeouts to be noticed within half of themselves.
func (o *Options) watchPeriod() time.Duration {
	period := o.WriteTimeout / 2
	if o.beats() {
		period = min(period, o.Heartbeat, o.PeerTimeout/2)
	}
	return max(period, time.Millisecond)
}

// stop ends the watch. A look under way may still finish.
func (w *watchdog) stop() {
	w.stopped.Store(true)
	w.timer.Stop()
}

func (w *watchdog) tick() {
	if w.stopped.Load() {
		return
	}
	if err := w.look(time.Now()); err != nil {
		w.peer.Close(err)
		return
	}
	w.timer.Reset(w.period)
}

// look reads the marks; an error says that the peer is dead.
func (w *watchdog) look(now time.Time) error {
	conn, o := w.peer.conn, w.peer.o
	if writes := conn.writes.Load(); writes != w.writes || writes%2 == 0 {
		w.writes, w.moved = writes, now
	} else if stuck := now.Sub(w.moved); stuck >= o.WriteTimeout {
		return &TimeoutError{"nothing taken", stuck}
	}
	if !o.beats() {
		return nil
	}
	if conn.heard.Swap(false) || w.peer.delivering.Load() {
		w.heard = now
	} else if silence := now.Sub(w.heard); silence >= o.PeerTimeout {
		return &TimeoutError{"nothing heard", silence}
	}
	if now.Sub(w.pinged) >= o.Heartbeat {
		w.pinged = now
		w.peer.out.ping()
	}
	return nil
}
