package proxy

import (
	"errors"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// netPart is a process, and those that take its place.
type netPart struct {
	n     *network
	name  string
	life  int
	dead  bool
	conns []*netConn
	dials []*netDial
}

func (p *netPart) String() string { return p.name }

// in runs f later unless the process has died.
func (p *netPart) in(d time.Duration, f func()) {
	life := p.life
	p.n.after(d, func() {
		if p.life == life && !p.dead {
			f()
		}
	})
}

// born begins a life without connections.
func (p *netPart) born() {
	p.life++
	p.dead, p.conns, p.dials = false, nil, nil
	p.n.note("%s of life %d", p, p.life)
}

// die ends the process, and with it its connections.
func (p *netPart) die() {
	p.n.note("%s dies", p)
	p.n.happened.died++
	p.dead = true
	for _, c := range p.conns {
		c.end(20)
	}
}

// netConn is one connection: end 0 dialed.
type netConn struct {
	n     *network
	ends  [2]*netPart
	lives [2]int
	born  time.Time
	cut   bool
	drops bool // what was under way when it was cut is lost
	gone  [2]bool
	from  [2]netHalf
	heard [2]func(kept []*parcel) // told that the connection has ended
}

// netHalf is one direction of a connection.
type netHalf struct {
	queue []*parcel // before the kernel
	last  time.Time // when the last one arrives
}

// parcel is a message on its way.
type parcel struct {
	key    wire.Key
	sent   func(error)
	arrive func()
}

var errCut = errors.New("cut")

func (c *netConn) alive(end int) bool { return c.ends[end].life == c.lives[end] && !c.ends[end].dead }

func (c *netConn) send(end int, p *parcel) {
	if c.gone[end] {
		return
	}
	h := &c.from[end]
	if h.queue = append(h.queue, p); len(h.queue) == 1 {
		c.flush(end)
	}
}

// flush brings the first message to the kernel, then the others.
func (c *netConn) flush(end int) {
	takes := c.n.upTo(2)
	if c.n.chance(2) { // the other side reads nothing for a while
		takes = c.n.upTo(250)
	}
	c.n.after(takes, func() {
		h := &c.from[end]
		if c.gone[end] || !c.alive(end) || len(h.queue) == 0 {
			return
		}
		p := h.queue[0]
		h.queue = h.queue[1:]
		h.last = later(h.last, c.n.now.Add(c.n.upTo(8)))
		into := !c.cut
		c.n.transit[p.key]++
		c.n.at(h.last, func() {
			c.n.transit[p.key]--
			if other := 1 - end; into && !(c.cut && c.drops) && !c.gone[other] && c.alive(other) {
				p.arrive()
			}
		})
		if p.sent != nil {
			p.sent(nil)
		}
		if len(h.queue) > 0 {
			c.flush(end)
		}
	})
}

// end cuts the connection; each end knows within so many milliseconds, and not
// before it has all that arrives.
func (c *netConn) end(skew int) {
	if c.cut {
		return
	}
	c.cut, c.drops = true, c.n.chance(50)
	for end := range 2 {
		at := later(c.from[1-end].last, c.n.now.Add(c.n.upTo(skew)))
		c.n.at(at, func() {
			c.gone[end] = true
			kept := c.from[end].queue
			c.from[end].queue = nil
			if !c.alive(end) {
				return
			}
			if len(kept) > 0 && c.n.chance(50) { // the first was being written
				first := kept[0]
				kept = kept[1:]
				if first.sent != nil {
					first.sent(errCut)
				}
			}
			c.heard[end](kept)
		})
	}
}

// netDial connects again and again, and keeps what waits if it is to.
type netDial struct {
	owner, to *netPart
	keep      bool
	conn      *netConn
	waiting   []*parcel
	pause     time.Duration    // before the last attempt
	troubled  int              // the life of to in which a connection ended or was blocked last
	accept    func(c *netConn) // the other side's, which sets its heard
	up, down  func()
}

func (p *netPart) dial(d *netDial) *netDial {
	d.owner = p
	p.dials = append(p.dials, d)
	p.in(p.n.upTo(20), d.connect)
	return d
}

func (d *netDial) connect() {
	n := d.owner.n
	if d.to.dead || d.to.life == 0 || n.now.Before(n.blocked[[2]*netPart{d.owner, d.to}]) {
		if !d.to.dead {
			d.troubled = d.to.life
		}
		// As transport.Backoff has it by default.
		d.pause = min(max(50*time.Millisecond, 2*d.pause), d.owner.n.patience())
		d.owner.in(d.pause/2+n.upTo(int(d.pause/2/time.Millisecond)), d.connect)
		return
	}
	d.pause = 0
	c := &netConn{n: n, ends: [2]*netPart{d.owner, d.to}, lives: [2]int{d.owner.life, d.to.life}, born: n.now}
	d.owner.conns, d.to.conns = append(d.owner.conns, c), append(d.to.conns, c)
	d.conn = c
	c.heard[0] = func(kept []*parcel) {
		d.conn, d.troubled = nil, c.lives[1]
		if d.keep {
			d.waiting = append(kept, d.waiting...)
		}
		if d.down != nil {
			d.down()
		}
		d.owner.in(n.upTo(50), d.connect)
	}
	c.heard[1] = func([]*parcel) {}
	d.accept(c)
	waiting := d.waiting
	d.waiting = nil
	for _, p := range waiting {
		c.send(0, p)
	}
	if d.up != nil {
		d.up()
	}
}

// send reports whether the message has to wait for a connection.
func (d *netDial) send(p *parcel) (waits bool) {
	if d.conn != nil {
		d.conn.send(0, p)
		return false
	}
	if d.keep {
		d.waiting = append(d.waiting, p)
	}
	return true
}

// held calls add with the keys of what has not reached the kernel.
func (d *netDial) held(add func(wire.Key)) {
	for _, p := range d.waiting {
		add(p.key)
	}
	if d.conn != nil {
		for _, p := range d.conn.from[0].queue {
			add(p.key)
		}
	}
}

// since returns since when the dial has been connected, if it is.
func (d *netDial) since() (time.Time, bool) {
	if d.conn == nil || d.conn.cut {
		return time.Time{}, false
	}
	return d.conn.born, true
}

// patience is the longest pause between two attempts.
func (n *network) patience() time.Duration {
	if n.bug.patient {
		return 2 * time.Second
	}
	return 500 * time.Millisecond
}

// smooth reports whether nothing has kept the dial from the other side in its
// present life: it is connected, or will be when it tries next.
func (d *netDial) smooth() bool {
	return d.troubled != d.to.life && (d.conn == nil || !d.conn.cut || d.conn.lives[1] != d.to.life)
}
