package loopback

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// maxTries bounds how often a request's job is submitted.
const maxTries = 3

// Losable is a stage whose proxy may be lost together with jobs: a Remote.
type Losable interface {
	Stage
	// Leads reports whether jobs submitted here may come to another stage, or
	// are for it.
	Leads(to Losable) bool
	// Held calls add with the keys of jobs of a front that wait here to leave.
	Held(front uint64, add func(wire.Key))
}

// RollCaller asks holders of a front's jobs to claim them.
type RollCaller interface {
	// RollCall asks; window is for how long jobs that arrive somewhere are to be
	// claimed, too. It does not block.
	RollCall(number uint32, window time.Duration)
}

// recovers reports whether lost jobs are looked for.
func (t *Table) recovers() bool { return t.recovery.grace > 0 }

// Watch has the table ask s which jobs wait there. Call it before Run and Open.
func (t *Table) Watch(s Losable) { t.stages = append(t.stages, s) }

// Submitted notes that a request's job was given to a stage that may be lost, so
// that it can be again. The job must not change from then on.
func (t *Table) Submitted(job *Job, to Losable, now time.Time) {
	if !t.recovers() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.find(&job.Info); p != nil {
		p.job, p.to, p.sent = job, to, now
	}
}

// StageLost says that the connection to a stage's proxy was lost: jobs that may
// have been there are looked for, and what nobody holds is submitted again, or
// answered ErrLost. nil says that jobs or answers may have got lost with another
// connection, wherever their requests go.
func (t *Table) StageLost(s Losable, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lost(s, now)
}

// lost is StageLost for callers that hold the lock.
func (t *Table) lost(s Losable, now time.Time) {
	if !t.recovers() || t.closed {
		return
	}
	if s != nil {
		t.recovery.lost(s, now)
	} else {
		t.recovery.somewhere(now)
	}
	if at, any := t.recovery.next(); any {
		t.wakeBy(at)
	}
}

// Claimed takes a holder's word that it has jobs of this front, and returns those
// for which nobody waits any more.
func (t *Table) Claimed(c *wire.Claim, now time.Time) (dead []wire.Key) {
	if c.Front != t.cfg.Instance {
		return nil
	}
	n := 0
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.Loss {
		t.lost(nil, now)
	}
	for key := range c.Keys() {
		if n++; n%256 == 0 { // others want the table, too
			t.mu.Unlock()
			t.mu.Lock()
		}
		p := t.lookup(key)
		switch {
		case p == nil || p.id() != key.ID:
			dead = append(dead, key)
		case c.Number <= t.recovery.number:
			p.claimed = max(p.claimed, c.Number)
		}
	}
	return dead
}

// begin notes when the front has started.
func (t *Table) begin(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.recovery.youth.IsZero() {
		t.recovery.youth = now.Add(youth)
	}
}

// recover does what is due of asking and deciding.
func (t *Table) recover(now time.Time) {
	t.mu.Lock()
	ask, over := t.recovery.due(now)
	t.mu.Unlock()
	if ask != 0 {
		for _, c := range t.callers {
			c.RollCall(ask, t.cfg.ProxyGrace/2)
		}
	}
	if len(over) > 0 {
		t.settle(over, now)
	}
}

// settle submits again, or ends, the requests whose jobs nobody has claimed.
func (t *Table) settle(calls []rollCall, now time.Time) {
	held := make(map[wire.Key]struct{})
	for _, s := range t.stages {
		s.Held(t.cfg.Instance, func(key wire.Key) { held[key] = struct{}{} })
	}
	var again []retry
	var dead []wire.Key
	t.mu.Lock()
	for _, p := range t.inOrder() {
		if _, here := held[p.key()]; here || !p.lostBy(calls) {
			continue
		}
		dead = append(dead, p.key())
		if p.mayRetry() && !t.closed {
			again = append(again, t.retry(p, now))
			continue
		}
		dead = append(dead, p.others()...)
		t.stats.Failed++
		t.end(p, ErrLost)
	}
	t.mu.Unlock()
	t.interrupt(dead...)
	t.resubmit(again)
}

// inOrder returns the open requests as they were opened. The caller holds the lock.
func (t *Table) inOrder() []*Pending {
	return slices.SortedFunc(maps.Values(t.open), func(a, b *Pending) int {
		return cmp.Compare(int32(a.info.ID-t.lastID), int32(b.info.ID-t.lastID)) // numbers wrap around
	})
}

// lostBy reports whether one of the roll calls was about p's job, and nobody
// claimed it. A stream tells by its sender whether it is lost.
func (p *Pending) lostBy(calls []rollCall) bool {
	if p.job == nil || p.stream != nil {
		return false
	}
	for _, c := range calls {
		if !p.sent.After(c.before) && p.claimed < c.number && (c.stage == nil || p.to.Leads(c.stage)) {
			return true
		}
	}
	return false
}

// mayRetry reports whether p's job may be submitted once more.
func (p *Pending) mayRetry() bool {
	return p.job != nil && p.job.Info.Flags.Has(wire.Repeatable) && len(p.ids) < maxTries
}

// retry is a job to be submitted in place of another.
type retry struct {
	job *Job
	to  Losable
}

// retry gives p's job a new key, by which the old one's fate does not matter any
// more. The caller holds the lock, and is to resubmit it without.
func (t *Table) retry(p *Pending, now time.Time) retry {
	if p.ids == nil {
		p.ids = append(p.ids, p.info.ID)
	}
	id := t.freeID()
	p.ids = append(p.ids, id)
	if t.later == nil {
		t.later = make(map[uint32]*Pending)
	}
	t.later[id] = p
	job := &Job{Info: p.job.Info, Payload: p.job.Payload, Size: p.job.Size}
	if job.Info.Field(wire.RequestID) == nil { // logs and errors name the request as before
		job.Info.SetField(wire.RequestID, []byte(p.info.Key().String()))
	}
	job.Info.ID = id
	p.job, p.sent, p.claimed = job, now, 0
	t.stats.Retried++
	return retry{job, p.to}
}

// resubmit gives jobs to their stages again. Those that find no room are lost.
func (t *Table) resubmit(again []retry) {
	for _, r := range again {
		if err := r.to.Submit(r.job, nil); err != nil {
			t.fail(&r.job.Info, ErrLost)
		}
	}
}

// id returns the number under which p's job was submitted last.
func (p *Pending) id() uint32 {
	if p.ids == nil {
		return p.info.ID
	}
	return p.ids[len(p.ids)-1]
}

// key is id as a whole key.
func (p *Pending) key() wire.Key {
	k := p.info.Key()
	k.ID = p.id()
	return k
}

// others returns the keys of p's jobs but for the last one's; nil of a request
// that was submitted once.
func (p *Pending) others() []wire.Key { return p.except(p.id()) }

// except returns the keys of all p's jobs but for the one of a number.
func (p *Pending) except(id uint32) []wire.Key {
	var keys []wire.Key
	for _, other := range p.ids {
		if other != id {
			keys = append(keys, wire.Key{Instance: p.info.Instance, ID: other, Time: p.info.Time})
		}
	}
	return keys
}

// superseded reports whether an answer is an error of a job that was submitted
// again: what became of the first one does not matter, unless it is good.
func (p *Pending) superseded(a *Answer) bool {
	return p.ids != nil && a.Info.ID != p.id() && a.Info.Code >= 500
}

// lookup returns the open request one of whose jobs bears the key. The caller
// holds the lock.
func (t *Table) lookup(k wire.Key) *Pending {
	p := t.open[k.ID]
	if p == nil {
		p = t.later[k.ID]
	}
	if p == nil || p.info.Instance != k.Instance || p.info.Time != k.Time {
		return nil
	}
	return p
}
