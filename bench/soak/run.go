//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/butterfly-zmq/butterfly/bench/internal/clients"
	"github.com/butterfly-zmq/butterfly/bench/internal/parts"
	"github.com/butterfly-zmq/butterfly/bench/internal/rig"
	"github.com/butterfly-zmq/butterfly/bench/internal/trial"
)

// errBroken is a broken promise; the report says which.
var errBroken = errors.New("a promise was broken")

// startWithin is how long the service may take until it is ready.
const startWithin = 60 * time.Second

// soak is a service in its waves.
type soak struct {
	o      *options
	rig    *rig.Rig
	ledger *clients.Ledger
	idle   map[string]parts.Reading // what each process held at first
	report *report
	log    func(format string, args ...any)
}

// run soaks a service and prints to out. What it does meanwhile it tells on
// progress.
func run(ctx context.Context, o *options, out, progress io.Writer) (err error) {
	s := &soak{
		o: o, ledger: clients.NewLedger(), idle: make(map[string]parts.Reading),
		report: &report{Scheme: o.scheme, Seed: o.seed},
		log:    func(format string, args ...any) { fmt.Fprintf(progress, format+"\n", args...) },
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.rig.Close()) }()
	if err := s.rest(ctx); err != nil {
		return err
	}
	for round := 1; round <= o.rounds && ctx.Err() == nil; round++ {
		s.round(ctx, round)
	}
	s.end()
	if err := s.report.print(out, o); err != nil {
		return err
	}
	if len(s.report.Problems) > 0 {
		return errBroken
	}
	return context.Cause(ctx)
}

func (s *soak) drain() time.Duration { return 2 * s.o.timeout }

// start starts the service and waits until it is ready.
func (s *soak) start(ctx context.Context) error {
	program, err := rig.Program()
	if err != nil {
		return err
	}
	library := ""
	if s.o.python {
		if library, err = trial.Library("."); err != nil {
			return err
		}
	}
	s.rig, err = rig.New(rig.Config{
		Scheme: s.o.scheme, Program: program, Library: library,
		Timeout: s.o.timeout, Visit: s.o.timeout * 3 / 10, Drain: s.drain(), StreamIdle: s.o.timeout, MaxPending: pendingPerClient * s.o.clients, Plant: s.o.plant,
		Died: func(e *parts.DiedError) { s.ledger.Break("%v", e) },
	})
	if err != nil {
		return err
	}
	if err := errors.Join(s.rig.Start(), s.rig.Await(ctx, startWithin)); err != nil {
		return errors.Join(err, s.rig.Close())
	}
	return nil
}

// rest takes note of what the processes hold before any load, once they all are
// connected and nothing about them changes.
func (s *soak) rest(ctx context.Context) error {
	var last []found
	same := 0
	for end := time.Now().Add(startWithin); time.Now().Before(end); sleep(ctx, 500*time.Millisecond) {
		all, err := s.look()
		if err != nil {
			same = 0 // a worker program has hardly begun
			continue
		}
		if same++; !slices.EqualFunc(all, last, alike) {
			same = 0
		}
		if last = all; same >= 4 {
			break
		}
	}
	if ctx.Err() != nil || same < 4 {
		return fmt.Errorf("%w within %v", errRestless, startWithin)
	}
	for _, f := range last {
		s.idle[f.Name] = f.Reading
	}
	s.report.Idle = last
	return nil
}

var errRestless = errors.New("the service does not come to rest")

func alike(a, b found) bool {
	return a.Name == b.Name && a.Reading.Goroutines == b.Reading.Goroutines && a.Reading.Descriptors == b.Reading.Descriptors
}

// round lets all waves come.
func (s *soak) round(ctx context.Context, round int) {
	for _, w := range waves {
		name := fmt.Sprintf("%s %d", w.name, round)
		before := s.answered()
		s.wave(ctx, w, fmt.Sprintf("r%d%s", round, w.name), s.o.wave)
		s.log("%s  %-12s %6d answers", time.Now().Format("15:04:05"), name, s.answered()-before)
		if s.o.together {
			continue
		}
		s.await(ctx, name)
	}
	if s.o.together {
		s.await(ctx, fmt.Sprint("round ", round))
	}
}

// await waits until the processes are idle again.
func (s *soak) await(ctx context.Context, behind string) {
	began := time.Now()
	s.report.Now = s.settled(ctx, behind)
	s.report.Settled = max(s.report.Settled, time.Since(began).Seconds())
}

func (s *soak) answered() (n int) {
	for _, byStatus := range s.ledger.Statuses {
		for _, times := range byStatus {
			n += times
		}
	}
	return n
}

// wave loads the service for a while.
func (s *soak) wave(ctx context.Context, w wave, name string, length time.Duration) {
	loading, enough := context.WithCancel(ctx)
	defer enough()
	l := &clients.Load{
		Fronts: s.rig.Fronts, Ledger: s.ledger, Seed: s.o.seed, Name: name,
		Limits:   clients.Limits{Timeout: s.o.timeout, Slack: s.o.slack, Calm: true},
		Patience: s.o.timeout + s.o.slack + 10*time.Second,
	}
	w.load(s.o.clients, l)
	var beside sync.WaitGroup
	if w.beside != nil {
		beside.Go(func() { w.beside(loading, s) })
	}
	beside.Go(func() {
		defer enough()
		s.last(loading, w, length)
	})
	l.Run(loading)
	beside.Wait()
	if l.Busy { // requests of clients that left are there for a moment more
		sleep(ctx, lull)
	}
}

// last waits until a wave is over: after a time, and once it has brought what it
// is to, but after ten times as long in any case.
func (s *soak) last(ctx context.Context, w wave, length time.Duration) {
	before := s.ledger.Told(w.brings)
	for range 10 {
		if !sleep(ctx, length) || w.brings == 0 || s.ledger.Told(w.brings) > before {
			return
		}
	}
}

// lull is several times a front's half_close_grace.
const lull = time.Second

// end stops the service and holds what the clients were told against what the
// workers did.
func (s *soak) end() {
	if err := s.rig.Stop(s.drain() + 5*time.Second); err != nil {
		s.ledger.Break("%v", err)
	}
	record, err := trial.Read(s.rig.Journal)
	if err != nil {
		s.ledger.Break("%v", err)
		record = &trial.Record{}
	}
	s.ledger.Compare(record)
	s.report.Statuses, s.report.Verdicts, s.report.Problems = s.ledger.Statuses, s.ledger.Verdicts, s.ledger.Problems
	if s.report.Problems == nil {
		s.report.Problems = []string{}
	}
}
