package proxy

import (
	"time"

	"github.com/butterfly-zmq/butterfly/loopback"
)

// localSlot is a loopback.Slot of a Local.
type localSlot struct {
	stage *Local
	slot  *Slot
	give  chan *loopback.Job // holds one; closed if the slot is idle when it or the stage ends
}

// Slot returns a new slot of the stage for one worker goroutine. Hold and Sent
// do nothing: inside one process an outcome has arrived when it is handed over.
func (l *Local) Slot() loopback.Slot {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &localSlot{stage: l, give: make(chan *loopback.Job, 1)}
	s.slot = l.balancer.Join(Butterfly, s)
	l.slots++
	return s
}

// Next implements loopback.Slot.
func (s *localSlot) Next(beat []byte) (*loopback.Job, bool) {
	job, late, wait := s.stage.idle(s, beat)
	s.stage.refuseAll(late)
	if !wait {
		return job, job != nil
	}
	job, ok := <-s.give
	return job, ok
}

// idle makes a slot idle and takes the next queued job for it; late are jobs
// that came too late for that. wait says that there is none, and that one will
// come through the slot's channel, or its closing.
func (l *Local) idle(s *localSlot, beat []byte) (job *loopback.Job, late []Refused, wait bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over || s.slot.gone {
		return nil, nil, false
	}
	// The slot itself says so: there is no beat that could have crossed a job.
	l.balancer.Idle(s.slot, beat, s.slot.held.key)
	if l.balancer.Queued() > 0 {
		// While jobs are queued no other slot is idle: an assignment is ours. But
		// a part that was parked until this slot had done another of its group
		// goes to the slot that has been idle longest.
		now := time.Now()
		for a, ok := l.balancer.Next(now); ok; a, ok = l.balancer.Next(now) {
			switch a.Slot {
			case s.slot:
				l.tell()
				return a.Job, late, false
			case nil:
				late = append(late, Refused{a.Job, a.Err})
			default:
				a.Slot.Owner.(*localSlot).give <- a.Job
			}
		}
	}
	l.tell()
	l.closeIfDrained()
	return nil, late, true
}

// Hold implements loopback.Slot.
func (s *localSlot) Hold([]byte) {}

// Sent implements transport.Notifier.
func (s *localSlot) Sent(error) {}

// Leave implements loopback.Slot. Only a slot that is idle can be waiting: one
// that is not has its job, or finds it in its channel.
func (s *localSlot) Leave() {
	s.stage.refuseAll(s.stage.leave(s))
}

// leave takes a slot away, and returns jobs that came too late.
func (l *Local) leave(s *localSlot) (late []Refused) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.slot.gone {
		return nil
	}
	if s.slot.idle && !l.over {
		close(s.give)
	}
	l.balancer.Leave(s.slot) // the job it may hold is the worker's to finish
	l.slots--
	if !l.over {
		late = l.dispatch() // a part less is in work
	}
	l.closeIfDrained()
	return late
}
