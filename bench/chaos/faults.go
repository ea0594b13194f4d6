//go:build linux

package main

import (
	"context"
	"maps"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/butterfly-zmq/butterfly/bench/internal/rig"
	"github.com/butterfly-zmq/butterfly/internal/relay"
)

// hand does what the script says.
type hand struct {
	rig     *rig.Rig
	members map[string]*rig.Member
	limit   time.Duration                    // for an end by SIGTERM
	fail    func(format string, args ...any) // told of promises that parts break
	log     func(format string, args ...any)

	mu   sync.Mutex             // guards done and busy
	done map[string]int         // faults by kind of target and action
	busy map[string]*sync.Mutex // held while something is done to a target
}

func newHand(r *rig.Rig, limit time.Duration, fail, log func(string, ...any)) *hand {
	h := &hand{rig: r, limit: limit, fail: fail, log: log, members: make(map[string]*rig.Member), done: make(map[string]int), busy: make(map[string]*sync.Mutex)}
	for _, m := range r.Members {
		h.members[m.Name] = m
	}
	return h
}

// targets returns all that something can be done to.
func targets(r *rig.Rig) []target {
	var all []target
	for _, m := range r.Members {
		kind := string(m.Role)
		if m.Programs {
			kind = "programs"
		}
		all = append(all, target{m.Name, kind})
	}
	for _, name := range slices.Sorted(maps.Keys(r.Relays)) {
		all = append(all, target{name, "relay"})
	}
	return all
}

// play runs the script and returns when all that it did is undone. When ctx ends
// what goes on is cut short.
func (h *hand) play(ctx context.Context, script []event) {
	began := time.Now()
	var running sync.WaitGroup
	defer running.Wait()
	for _, e := range script {
		if !sleep(ctx, time.Until(began.Add(e.at))) {
			return
		}
		running.Go(func() { h.do(ctx, e) })
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// lock waits until nothing is done to a target any more.
func (h *hand) lock(name string) (unlock func()) {
	h.mu.Lock()
	if h.busy[name] == nil {
		h.busy[name] = &sync.Mutex{}
	}
	m := h.busy[name]
	h.mu.Unlock()
	m.Lock()
	return m.Unlock
}

func (h *hand) do(ctx context.Context, e event) {
	defer h.lock(e.target.name)()
	h.log("%s  %v", time.Now().Format("15:04:05.000"), e)
	h.mu.Lock()
	h.done[e.target.kind+" "+string(e.what)]++
	h.mu.Unlock()
	if link := h.rig.Relays[e.target.name]; link != nil {
		h.cut(ctx, link, e)
		return
	}
	h.harm(ctx, h.members[e.target.name], e)
}

func (h *hand) cut(ctx context.Context, link *relay.Relay, e event) {
	if e.what == reset {
		link.Reset()
		return
	}
	link.Set(map[action]relay.Fault{stall: relay.Stall, stallUp: relay.StallUp, stallDown: relay.StallDown, refuse: relay.Refuse}[e.what])
	sleep(ctx, e.length)
	link.Set(relay.Heal)
}

func (h *hand) harm(ctx context.Context, m *rig.Member, e event) {
	switch e.what {
	case kill:
		h.kill(m)
		sleep(ctx, e.length)
		h.start(m)
	case pause:
		h.stand(ctx, m, e.length)
		h.goOn(m)
	case pauseKill:
		h.stand(ctx, m, e.length)
		h.kill(m)
		h.start(m)
	case terminate:
		h.terminate(m)
		sleep(ctx, e.length)
		h.start(m)
	case programKill, programStop:
		h.program(ctx, m, e)
	}
}

func (h *hand) kill(m *rig.Member) {
	if m.Front != nil {
		m.Front.History.Killed(time.Now())
		defer func() { m.Front.History.Ended(time.Now()) }()
	}
	m.Kill()
}

func (h *hand) start(m *rig.Member) {
	if err := m.Start(); err != nil {
		h.fail("%v", err)
	}
}

func (h *hand) stand(ctx context.Context, m *rig.Member, length time.Duration) {
	if m.Front != nil {
		m.Front.History.Paused(time.Now())
	}
	if err := m.Signal(syscall.SIGSTOP); err != nil {
		h.fail("stop %s: %v", m.Name, err)
	}
	sleep(ctx, length)
}

func (h *hand) goOn(m *rig.Member) {
	if err := m.Signal(syscall.SIGCONT); err != nil {
		h.fail("continue %s: %v", m.Name, err)
	}
	if m.Front != nil {
		m.Front.History.Resumed(time.Now())
	}
}

func (h *hand) terminate(m *rig.Member) {
	if m.Front != nil {
		m.Front.History.Leaving(time.Now())
		defer func() { m.Front.History.Ended(time.Now()) }()
	}
	if err := m.Terminate(h.limit); err != nil {
		h.fail("%v", err)
	}
}

// program does something to one of the worker programs that a part keeps.
func (h *hand) program(ctx context.Context, m *rig.Member, e event) {
	children := m.Children()
	defer func() {
		for _, c := range children {
			c.Release()
		}
	}()
	if len(children) == 0 {
		return // they are being started
	}
	c := children[e.pick%uint64(len(children))]
	if e.what == programKill {
		c.Signal(syscall.SIGKILL)
		return
	}
	c.Signal(syscall.SIGSTOP)
	sleep(ctx, e.length)
	c.Signal(syscall.SIGCONT)
}

// counts returns what was done, by kind of target and action.
func (h *hand) counts() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.done)
}
