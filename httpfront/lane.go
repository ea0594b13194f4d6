package httpfront

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/queueing"
)

// Lane is the requests that go the same way through a pipeline, and refuses those
// that cannot be answered by their deadline. A stage knows what waits in its own
// queue; what is behind it, and how often a job comes back in a cycle, shows in
// what comes out: where n requests are open, and one is answered every d while the
// way is busy, the next is answered after n·d (Little's law). A request of a
// client that has few open ones is before others of clients that have many, since
// the stages let clients take turns.
//
// While nothing waits on the way, nor did in the last quarter of a second, which is as
// good as always, a request costs it four additions: nothing is measured then, and
// nobody refused.
//
// It is safe for concurrent use.
type Lane struct {
	busy     func() (slots int, backlogged bool)
	cyclic   bool
	mostHeld time.Duration // as the constant says, but in tests
	open     atomic.Int64
	// watching says that leave has to look: the way was busy the last time that
	// somebody did, or requests are listed or held.
	watching atomic.Bool
	// early are the open requests that are not listed, by client, of which some share
	// a place: they came before it was known that the way is busy.
	early [earlyPlaces]atomic.Int32

	mu       sync.Mutex     // guards the fields below
	clients  map[uint32]int // listed requests of each: those that came while the way was busy
	listed   int64          // those, in all
	rounds   queueing.Rounds
	pace     queueing.Pace
	answered uint64
	late     int       // deadlines that have passed while too few were answered to know the pace
	strain   float64   // how many times as long as computed a wait may be
	came     time.Time // when one came last while the way was busy
	crowd    int64     // how many were open then

	// Of a cycle's lane while the way is busy: what was known before that.
	busyNow bool
	before  queueing.Pace
	first   uint64    // how many had left until then
	taught  time.Time // when such a time last told anything

	// Of the beginning of a cycle's lane.
	known bool      // it is over
	ended int       // requests that were answered, or whose deadlines passed, in it
	held  []*ticket // those that are not let in yet, first in first
}

// A wait may be longer than computed. How much longer is found out: by a quarter
// at least, as for proxy's margin, and by a sixteenth more with each deadline that
// passes while the way is busy, up to mostStrain, from which a 256th is taken back
// with each answer. So few requests are let in to be late: where jobs take turns,
// dear ones need more than the mean. At mostStrain a tenth of what could be
// answered by the deadline is still let in, so that workers do not run out of jobs.
//
// What was found out in one crowd is nothing to the next: after forgetTime in which
// nothing waited when somebody came it begins anew.
const (
	leastStrain = 1.25
	mostStrain  = 10
	forgetTime  = 5 * time.Second
)

// lingerTime is for how long the way counts as busy after it was. Proxies tell how
// they are ten times a second, and where as few are let in as can be answered, all
// workers may happen to have a job but none to wait at that moment; all the load
// would be let in then until the next time.
const lingerTime = 250 * time.Millisecond

// freshTime is for how long a cycle's lane believes what no busy time has confirmed:
// where jobs got cheaper, so few may be let in that none is long enough to tell.
const freshTime = 30 * time.Second

const earlyPlaces = 64

// NewLane returns a Lane without requests. busy reports how many jobs the stages on
// its way do at a time, and whether more wait at one of them while no worker is
// idle there: only then, and shortly after, something is measured or refused, and as
// many requests as there are slots are always let in. It is called for each request, with a lock held
// and without, and must not block. cyclic says that jobs may come back to a stage, so
// that they take turns there.
func NewLane(busy func() (slots int, backlogged bool), cyclic bool) *Lane {
	return &Lane{busy: busy, cyclic: cyclic, mostHeld: mostHeld, clients: make(map[uint32]int), strain: leastStrain}
}

// outcome is how a request's stay in its lane ended.
type outcome uint8

const (
	dropped  outcome = iota // its client left, or it was refused further on
	answered                // by a worker
	expired                 // its deadline passed
)

// stay is a request's stay in its lane: whether it is listed, or waits to be let in.
type stay struct {
	listed bool
	ticket *ticket // nil: it did not have to wait
}

// enter lets a request in that has until its deadline, or for ever where that is
// zero, or has it wait for its turn. The error is a *lateError, or nil: then leave
// has to follow.
func (l *Lane) enter(client uint32, now, deadline time.Time) (stay, error) {
	slots, backlogged := l.busy()
	if !backlogged && !l.watching.Load() {
		return l.pass(client), nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !backlogged && (!l.watching.Load() || now.Sub(l.came) > lingerTime) {
		l.pause(slots)
		return l.pass(client), nil
	}
	enough := int64(slots) // for the workers
	if backlogged {
		l.meet(slots, now)
	} else {
		enough += l.crowd
	}
	if l.begins(deadline) {
		l.serve(slots)
		if l.full(slots) {
			return l.hold(client, now, deadline), nil
		}
		l.list(client)
		return stay{listed: true}, nil
	}
	if err := l.admit(client, now, deadline, enough); err != nil {
		return stay{}, err
	}
	return stay{listed: true}, nil
}

// admit lists a request, or returns a *lateError if as many as are enough are open
// and it would be answered too late. The caller holds the lock.
func (l *Lane) admit(client uint32, now, deadline time.Time, enough int64) error {
	if !deadline.IsZero() && l.open.Load() >= enough {
		wait := float64(1+l.ahead(client)) * float64(l.interval()) * l.strain
		if wait > float64(deadline.Sub(now)) {
			return &lateError{time.Duration(l.open.Load()) * l.interval()}
		}
	}
	l.list(client)
	return nil
}

// list counts a request among those of its client. The caller holds the lock.
func (l *Lane) list(client uint32) {
	l.open.Add(1)
	l.listed++
	mine := l.clients[client] + 1
	l.clients[client] = mine
	l.rounds.Add(mine, 1)
}

// pass lets a request in that is not listed.
func (l *Lane) pass(client uint32) stay {
	l.open.Add(1)
	l.early[client%earlyPlaces].Add(1)
	return stay{}
}

// meet notes that the way is busy. The caller holds the lock.
func (l *Lane) meet(slots int, now time.Time) {
	l.watching.Store(true)
	if now.Sub(l.came) > forgetTime {
		l.strain = leastStrain
		l.pause(slots) // the last to leave may have seen others wait that had gone
	}
	if l.cyclic && !l.busyNow {
		if l.known && now.Sub(l.taught) > freshTime {
			l.known, l.ended, l.late, l.pace, l.taught = false, 0, 0, queueing.Pace{}, now
		}
		l.busyNow, l.before, l.first = true, l.pace, l.left()
		l.pace.Begin(now, l.answered)
	}
	l.came, l.crowd = now, l.open.Load()
}

// ahead returns how many requests are answered before the next one of a client.
// Of a client that has both, listed ones and early ones count by themselves, which
// is once too often for as long as early ones are there. The caller holds the lock.
func (l *Lane) ahead(client uint32) int {
	turn := l.clients[client] + 1
	if l.open.Load() == l.listed {
		return l.rounds.UpTo(turn)
	}
	turn += int(l.early[client%earlyPlaces].Load())
	sum := l.rounds.UpTo(turn)
	for i := range l.early {
		sum += min(int(l.early[i].Load()), turn)
	}
	return sum
}

// leave lets a request out. The clock is only asked where somebody wants to know.
func (l *Lane) leave(client uint32, s stay, how outcome, clock func() time.Time) {
	if !s.listed && s.ticket == nil {
		l.open.Add(-1)
		l.early[client%earlyPlaces].Add(-1)
		if !l.watching.Load() {
			return
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case s.ticket != nil && !l.redeem(s.ticket):
		return
	case s.ticket != nil || s.listed:
		l.open.Add(-1)
		l.strike(client)
	}
	slots, busy := l.busy()
	busy = busy || !l.known && len(l.held) > 0
	l.watching.Store(busy || len(l.clients)+len(l.held) > 0)
	l.learn(slots, how, busy, clock)
	switch {
	case l.known:
		l.reconsider(slots, clock)
	case l.cyclic && busy:
		l.begin(slots, how, clock)
	}
}

// learn takes what a request's end says about the way. The caller holds the lock.
func (l *Lane) learn(slots int, how outcome, busy bool, clock func() time.Time) {
	switch {
	case how == answered:
		l.answered++
		l.strain -= (l.strain - leastStrain) / 256
	case how == expired && busy:
		l.late++
		l.strain = min(l.strain*17/16, mostStrain)
	}
	if !busy {
		l.pause(slots)
		return
	}
	now := clock()
	l.pace.Observe(now, l.answered)
	if l.tells(slots) {
		l.taught = now
	}
}

// left returns how many were answered, or too late. The caller holds the lock.
func (l *Lane) left() uint64 { return l.answered + uint64(l.late) }

// tells reports whether enough have left since the way got busy. The caller holds the
// lock.
func (l *Lane) tells(slots int) bool { return l.left()-l.first >= uint64(slots) }

// pause notes that the way is not busy. Where jobs take turns they leave together,
// after a time in which none did, which is counted from when the way got busy. If it
// was for so short that fewer left than there are slots, then most of what was done
// in that time was for others, and it tells nothing. The caller holds the lock.
func (l *Lane) pause(slots int) {
	if l.busyNow && !l.tells(slots) {
		l.pace = l.before
	}
	l.busyNow = false
	l.pace.Pause()
}

// strike takes a request of a client off the list. The caller holds the lock.
func (l *Lane) strike(client uint32) {
	mine := l.clients[client]
	l.listed--
	l.rounds.Add(mine, -1)
	if mine == 1 {
		delete(l.clients, client)
	} else {
		l.clients[client] = mine - 1
	}
}

// interval returns how long it takes, in the mean, until the next answer; 0: that
// is not known. Where deadlines pass instead it is at least the time in which the
// few answers came that there were. The caller holds the lock.
func (l *Lane) interval() time.Duration {
	if d := l.pace.Interval(); d > 0 || l.late < queueing.LeastJobs {
		return d
	}
	busy, jobs := l.pace.Busy()
	return time.Duration(float64(busy) / max(jobs, 1))
}

// lateError says that a request cannot be answered by its deadline.
type lateError struct{ wait time.Duration }

func (e *lateError) Error() string             { return "httpfront: the answer would come too late" }
func (e *lateError) RetryAfter() time.Duration { return e.wait }
