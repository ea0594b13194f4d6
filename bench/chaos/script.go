//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// action is something done to a part or to a relay.
type action string

// The actions. Each but reset and programKill has a length, behind which what
// was done is undone: what was killed is started, what was cut off is healed.
const (
	kill        action = "kill"         // SIGKILL, and started again later
	pause       action = "stop"         // SIGSTOP, and SIGCONT
	pauseKill   action = "stop-kill"    // SIGSTOP, SIGKILL, and started again at once
	terminate   action = "term"         // SIGTERM, and started again when it has ended
	programKill action = "program-kill" // SIGKILL to a worker program; its keeper starts it again
	programStop action = "program-stop" // SIGSTOP to a worker program, and SIGCONT
	stall       action = "stall"        // nothing passes a relay
	stallUp     action = "stall-up"     // nothing passes it in that direction
	stallDown   action = "stall-down"
	refuse      action = "refuse" // all connections are reset, and new ones too
	reset       action = "reset"  // all connections are reset
)

// all are the actions, and sudden those that end a process, which everybody
// connected to it hears of at once.
var (
	all = []action{
		kill, pause, pauseKill, terminate, programKill, programStop, stall, stallUp, stallDown, refuse, reset,
	}
	sudden = []action{kill, terminate, programKill}
)

// target is what something can be done to.
type target struct {
	name string
	kind string // front, proxy, workers, programs or relay
}

// possible says what can be done to a kind of target.
var possible = map[string][]action{
	"front":    {kill, pause, pauseKill, terminate},
	"proxy":    {kill, pause, pauseKill, terminate},
	"workers":  {kill, pause, pauseKill, terminate},
	"programs": {kill, terminate, programKill, programStop},
	"relay":    {stall, stallUp, stallDown, refuse, reset},
}

// event is one line of the script.
type event struct {
	at     time.Duration // from the beginning
	length time.Duration
	what   action
	target target
	pick   uint64 // which of several worker programs
}

func (e event) String() string {
	return fmt.Sprintf("%8.3fs  %-12s %-16s %6.3fs", e.at.Seconds(), e.what, e.target.name, e.length.Seconds())
}

// plan makes a script: the same one for the same arguments. Nothing goes on
// beyond the time, and no target has two things done to it at once.
func plan(o *options, scheme string, targets []target) []event {
	salt := uint64(1)
	for _, b := range scheme {
		salt = salt*31 + uint64(b)
	}
	p := &planner{o: o, rand: rand.New(rand.NewPCG(o.seed, salt)), targets: targets, free: make(map[string]time.Duration)}
	var script []event
	for at := p.next(0); at < o.time; at = p.next(at) {
		if e, ok := p.event(at); ok {
			script = append(script, e)
		}
	}
	return script
}

type planner struct {
	o       *options
	rand    *rand.Rand
	targets []target
	deck    []card
	free    map[string]time.Duration // when a target is
	ends    []time.Duration          // of what goes on
}

// card is something to be done to any target of a kind.
type card struct {
	kind string
	what action
}

// next returns the time of the next event: when something may be done again.
func (p *planner) next(at time.Duration) time.Duration {
	at += time.Duration(p.rand.ExpFloat64() * float64(p.o.gap))
	p.ends = slices.DeleteFunc(p.ends, func(end time.Duration) bool { return end <= at })
	if len(p.ends) >= p.o.atOnce {
		at = slices.Min(p.ends)
	}
	return at
}

// event draws a card for a time, and whom it hits. Everything possible comes up
// before anything does so again.
func (p *planner) event(at time.Duration) (event, bool) {
	if len(p.deck) == 0 {
		p.shuffle()
	}
	for i, c := range p.deck {
		var free []target
		for _, t := range p.targets {
			if t.kind == c.kind && p.free[t.name] <= at {
				free = append(free, t)
			}
		}
		if len(free) == 0 {
			continue
		}
		p.deck = slices.Delete(p.deck, i, i+1)
		e := event{at: at, what: c.what, target: free[p.rand.IntN(len(free))], length: p.length(c.what), pick: p.rand.Uint64()}
		e.length = min(e.length, p.o.time-at)
		p.ends = append(p.ends, at+e.length)
		p.free[e.target.name] = at + e.length + settle
		return e, true
	}
	return event{}, false
}

// settle is how long a part that was started again is left alone.
const settle = 300 * time.Millisecond

// shuffle makes a deck of all that is possible.
func (p *planner) shuffle() {
	for _, t := range p.targets {
		for _, a := range possible[t.kind] {
			allowed := p.o.faults == nil || slices.Contains(p.o.faults, a)
			if c := (card{t.kind, a}); allowed && !slices.Contains(p.deck, c) {
				p.deck = append(p.deck, c)
			}
		}
	}
	p.rand.Shuffle(len(p.deck), func(i, j int) { p.deck[i], p.deck[j] = p.deck[j], p.deck[i] })
}

// length returns how long something goes on.
func (p *planner) length(a action) time.Duration {
	switch a {
	case reset, programKill:
		return 0
	}
	if p.rand.IntN(8) == 0 && !p.o.only(sudden...) { // several such would outlast a deadline
		return p.o.long/2 + p.between(0, p.o.long/2)
	}
	return p.between(20*time.Millisecond, 1500*time.Millisecond)
}

func (p *planner) between(least, most time.Duration) time.Duration {
	return least + time.Duration(p.rand.Int64N(int64(most-least)+1))
}
