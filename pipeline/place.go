package pipeline

import (
	"errors"
	"sync"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// placeBacklog is how many jobs a slot holds that it has not begun. One is the
// rule; a prime_server proxy may send another when a beat crossed its job.
const placeBacklog = 4

// place is a slot's place at a proxy of its stage: a loopback.Slot. It goes
// around working, holding, idle, given, working. To move to another proxy it
// withdraws while it is idle, and says to the other one that it is idle when the
// receipt has come: no job is on its way then.
type place struct {
	link   *link
	number int
	jobs   chan *loopback.Job
	closed chan struct{} // no job comes any more
	once   sync.Once     // closes closed

	// guarded by link.mu
	state   placeState
	home    *home                      // the proxy from which jobs come; nil: none, while several may be
	want    *home                      // where it is to move; nil: nowhere
	leaving bool                       // it takes no more jobs
	told    peer                       // who was told of the present idleness
	asked   peer                       // who was asked for a receipt in it
	held    uint64                     // link.ticks when the outcome was handed over
	left    uint64                     // link.ticks when it began to be idle and leaving, at a prime_server proxy
	from    peer                       // the connection when the last job came
	givenUp bool                       // the last job has no outcome, and its proxy does not know yet
	beat    []byte                     // the application's part of the beat
	waiting [placeBacklog + 1]wire.Key // of jobs given and not begun, in their order
	given   int                        // how many these are
	done    wire.Key                   // of the last job
}

type placeState uint8

const (
	working placeState = iota // a job is being done, or none was asked for yet
	holding                   // its outcome waits to reach the kernel
	idle
	given // a job came and was not begun yet
)

func newPlace(l *link, number int) *place {
	return &place{link: l, number: number, jobs: make(chan *loopback.Job, placeBacklog), closed: make(chan struct{})}
}

// Next implements loopback.Slot.
func (p *place) Next(beat []byte) (*loopback.Job, bool) {
	p.rest(beat)
	select {
	case job := <-p.jobs:
		return p.begin(job), true
	case <-p.closed:
	}
	select { // a job that was there already is done all the same
	case job := <-p.jobs:
		return p.begin(job), true
	default:
		return nil, false
	}
}

// rest makes the place idle, unless an outcome waits to be sent: then Sent does.
func (p *place) rest(beat []byte) {
	p.link.mu.Lock()
	defer p.link.mu.Unlock()
	p.beat = beat
	if p.state == working {
		p.becomeIdle()
	}
}

func (p *place) begin(job *loopback.Job) *loopback.Job {
	p.link.mu.Lock()
	defer p.link.mu.Unlock()
	p.state, p.done, p.givenUp = working, job.Info.Key(), false
	copy(p.waiting[:], p.waiting[1:])
	p.given--
	return job
}

// Hold implements loopback.Slot.
func (p *place) Hold(beat []byte) {
	p.link.mu.Lock()
	defer p.link.mu.Unlock()
	p.state, p.beat, p.held = holding, beat, p.link.ticks
	if p.link.cut { // nobody looks at what is held any more
		p.becomeIdle()
	}
}

// tick releases the place from an outcome that does not leave: its front is
// stopped or does not read, and others are waiting. The outcome stays queued.
// The caller holds the lock.
func (p *place) tick() {
	if p.state == holding && p.link.ticks-p.held >= 2 {
		p.becomeIdle()
	}
	if p.state == idle && p.leaving && p.prime() && p.link.ticks-p.left >= primeGrace {
		p.close()
	}
}

// primeGrace is for how many ticks a slot that leaves does what still comes from
// a prime_server proxy, which cannot be told: a second.
const primeGrace = 20

// GiveUp implements loopback.Reclaimer. The proxy that gave the job has to be
// there still, and to be one that reads the second frame of a beat; if it loses
// the connection before that comes, it knows as well.
func (p *place) GiveUp() bool {
	p.link.mu.Lock()
	defer p.link.mu.Unlock()
	to := p.carrier()
	p.givenUp = to != nil && to == p.from && !p.prime() && !p.link.cut
	return p.givenUp
}

// Begun implements loopback.Reclaimer. A beat that gets lost does with its
// connection, and the job with it.
func (p *place) Begun() {
	p.link.mu.Lock()
	defer p.link.mu.Unlock()
	to := p.carrier()
	if to == nil || to != p.from || p.prime() || p.link.cut {
		return
	}
	b := wire.Beat{Slot: uint16(p.number), Worker: p.link.instance, Done: p.done, Begun: true}
	if err := to.Send(transport.Message{p.beat, b.AppendTo(nil)}, nil); err != nil {
		to.Close(err)
	}
}

// Sent implements transport.Notifier: the outcome has left, or never will; the
// slot is idle either way.
func (p *place) Sent(error) {
	p.link.mu.Lock()
	defer p.link.mu.Unlock()
	if p.state == holding {
		p.becomeIdle()
	}
}

// Leave implements loopback.Slot.
func (p *place) Leave() {
	p.link.mu.Lock()
	defer p.link.mu.Unlock()
	if !p.leaving {
		p.leaving = true
		p.tell()
	}
}

// give hands a job to the place, and reports whether there was room. A place
// that has been left has none, though a prime_server proxy does not know that.
func (p *place) give(job *loopback.Job) bool {
	p.link.mu.Lock()
	defer p.link.mu.Unlock()
	select {
	case <-p.closed:
		return false
	default:
	}
	key := job.Info.Key() // the job is the slot's once it is sent
	select {
	case p.jobs <- job:
		p.waiting[p.given] = key
		p.given++
		p.from = p.carrier()
		if p.state == idle {
			p.state = given
		}
		return true
	default:
		return false
	}
}

// becomeIdle ends a job's turn. A job that waits already is the next: then there
// is nothing to tell.
func (p *place) becomeIdle() {
	if len(p.jobs) > 0 {
		p.state = given
		return
	}
	p.state, p.told, p.asked = idle, nil, nil
	p.tell()
}

// prime reports whether the slot is at home at a prime_server proxy.
func (p *place) prime() bool { return p.home != nil && p.home.prime }

// carrier returns the connection that carries the slot's beats now, nil if it is
// down. It is called with the lock held.
func (p *place) carrier() peer {
	switch {
	case p.home == nil:
		return nil
	case p.home.prime:
		return p.home.conns[p.number].peer
	}
	return p.home.conns[0].peer
}

// tell says to the proxy, once to each connection, that the place is idle, or
// that it leaves or moves, and then nothing until the receipt comes. Where nobody
// could send a job leaving is done at once; a prime_server proxy knows no leaving,
// so that the place waits for a while.
func (p *place) tell() {
	if p.state != idle {
		return
	}
	to := p.carrier()
	switch {
	case p.leaving && (to == nil || p.link.cut):
		p.close()
		return
	case p.leaving && p.prime():
		if p.left == 0 {
			p.left = max(1, p.link.ticks)
		}
		return
	}
	withdraw := (p.leaving || p.want != nil) && !p.prime()
	if to == nil || to == p.asked || to == p.told && !withdraw {
		return
	}
	m := transport.Message{p.beat}
	if !p.prime() {
		b := wire.Beat{Slot: uint16(p.number), Worker: p.link.instance, Withdraw: withdraw}
		if to != p.told { // a second time would be taken for the end of the job after it, if that is the same again
			b.Done, b.GivenUp = p.done, p.givenUp
		}
		m = append(m, b.AppendTo(nil))
	}
	p.told = to
	if withdraw {
		p.asked = to
	}
	if err := to.Send(m, nil); errors.Is(err, transport.ErrPeerGone) {
		to.Close(err) // PeerDown is about to tell of it
	} else if err != nil {
		p.link.log.Error("beat lost", "slot", p.number, "peer", to.Remote(), "err", err)
		to.Close(err) // its successor is told anew
	}
}

// released takes the receipt of a withdrawal. One that the slot does not wait for
// means nothing: a job has come after all. The caller holds the lock.
func (p *place) released(from peer) {
	if p.state != idle || from != p.asked {
		return
	}
	p.asked, p.told = nil, nil
	if p.leaving {
		p.close()
		return
	}
	if p.want != nil {
		p.home, p.want = p.want, nil
	}
	p.tell()
}

func (p *place) close() { p.once.Do(func() { close(p.closed) }) }
