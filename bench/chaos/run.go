//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sync"
	"time"

	"github.com/butterfly-zmq/butterfly/bench/internal/clients"
	"github.com/butterfly-zmq/butterfly/bench/internal/parts"
	"github.com/butterfly-zmq/butterfly/bench/internal/rig"
	"github.com/butterfly-zmq/butterfly/bench/internal/trial"
)

// errBroken is a broken promise; the report says which.
var errBroken = errors.New("a promise was broken")

const (
	// startWithin is how long a service may take until it is ready, recoverWithin
	// until it is so again when nothing is done to it any more.
	startWithin   = 60 * time.Second
	recoverWithin = 30 * time.Second
	// calm is how long a recovered service is loaded, and nothing but right
	// answers are allowed.
	calm = 2 * time.Second
)

// run puts every deployment to the proof, and prints to out. What it does
// meanwhile it tells on progress.
func run(ctx context.Context, o *options, out, progress io.Writer) error {
	var reports []*report
	broken := false
	for _, scheme := range o.schemes {
		r, err := prove(ctx, o, scheme, progress)
		if err != nil {
			return fmt.Errorf("%s: %w", scheme, err)
		}
		reports = append(reports, r)
		broken = broken || len(r.Problems) > 0
	}
	if o.script {
		return nil
	}
	if err := printReports(out, o, reports); err != nil {
		return err
	}
	if broken {
		return errBroken
	}
	return context.Cause(ctx)
}

// proof is one deployment on trial.
type proof struct {
	o      *options
	rig    *rig.Rig
	hand   *hand
	ledger *clients.Ledger
	log    func(format string, args ...any)
	report *report
}

// prove runs a deployment, its load and the script. The error is of what kept it
// from being run; broken promises are in the report.
func prove(ctx context.Context, o *options, scheme string, progress io.Writer) (_ *report, err error) {
	var mu sync.Mutex // guards progress
	log := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(progress, format+"\n", args...)
	}
	p := &proof{o: o, ledger: clients.NewLedger(), log: log, report: &report{Scheme: scheme, Seed: o.seed}}
	if p.rig, err = newRig(o, scheme, func(e *parts.DiedError) { p.ledger.Break("%v", e) }); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	p.hand = newHand(p.rig, drainOf(o)+5*time.Second, p.ledger.Break, log)
	script := plan(o, scheme, targets(p.rig))
	if o.script {
		for _, e := range script {
			log("%v", e)
		}
		return p.report, nil
	}
	log("%s: seed %d, %d faults in %v", scheme, o.seed, len(script), o.time)
	if err := errors.Join(p.rig.Start(), p.rig.Await(ctx, startWithin)); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, p.tails())
	}
	p.storm(ctx, script)
	p.aftermath(ctx)
	p.settle()
	return p.report, nil
}

func newRig(o *options, scheme string, died func(*parts.DiedError)) (*rig.Rig, error) {
	program, err := rig.Program()
	if err != nil {
		return nil, err
	}
	library := ""
	if o.python {
		if library, err = trial.Library("."); err != nil {
			return nil, err
		}
	}
	return rig.New(rig.Config{
		Scheme: scheme, Program: program, Library: library, Plant: o.plant, Died: died,
		Timeout: o.timeout, Visit: o.timeout * 3 / 10, Drain: drainOf(o), StreamIdle: o.timeout,
	})
}

// drainOf is longer than any request waits for its answer: three quarters of it
// have to do.
func drainOf(o *options) time.Duration { return 2 * o.timeout }

// load returns clients. In a storm any status may say what happened.
func (p *proof) load(name string, calm bool) *clients.Load {
	n := p.o.clients
	l := &clients.Load{
		Fronts: p.rig.Fronts, Ledger: p.ledger, Seed: p.o.seed, Name: name,
		Limits:   clients.Limits{Timeout: p.o.timeout, Slack: p.o.slack, Calm: calm},
		Patience: p.o.timeout + p.o.slack + p.o.long + 5*time.Second,
		Steady:   2 * n, Pipelining: n, Streaming: n, Leaving: n, Fresh: n,
		Think: 40 * time.Millisecond, Errors: 20,
	}
	if !calm {
		l.Limits.Sudden, l.Limits.Calm = p.o.only(sudden...), p.o.only(terminate)
	}
	if !calm && !l.Limits.Sudden {
		l.Hang = p.o.timeout * 6 / 10
	}
	return l
}

// storm loads the service while the script runs.
func (p *proof) storm(ctx context.Context, script []event) {
	loading, enough := context.WithCancel(ctx)
	watching, done := context.WithCancel(ctx)
	var load, watch sync.WaitGroup
	watch.Go(func() { p.report.Stalled = clients.WatchMachine(watching, p.rig.Fronts).Seconds() })
	load.Go(func() { p.load("s", false).Run(loading) })
	p.hand.play(ctx, script)
	enough()
	load.Wait()
	done()
	watch.Wait()
	p.report.Faults = p.hand.counts()
}

// aftermath wants a service that recovers by itself, serves as if nothing had
// been, and ends when it is told to.
func (p *proof) aftermath(ctx context.Context) {
	began := time.Now()
	if err := p.rig.Await(ctx, recoverWithin); err != nil {
		p.ledger.Break("it does not recover: %v", err)
	}
	p.report.Recovered = time.Since(began).Seconds()
	p.log("%s: ready again after %.1f s", p.report.Scheme, p.report.Recovered)
	quiet, end := context.WithTimeout(ctx, calm)
	defer end()
	p.load("c", true).Run(quiet)
	if err := p.rig.Stop(drainOf(p.o) + 5*time.Second); err != nil {
		p.ledger.Break("%v", err)
	}
	if left := p.rig.LeftBehind(5 * time.Second); len(left) > 0 {
		p.ledger.Break("left behind: %q", left)
	}
}

// settle holds what the clients were told against what the workers did.
func (p *proof) settle() {
	record, err := trial.Read(p.rig.Journal)
	if err != nil {
		p.ledger.Break("%v", err)
		record = &trial.Record{}
	}
	p.report.Repeats = p.ledger.Compare(record)
	for _, m := range p.rig.Members {
		if where := crash.FindString(m.Tail(1 << 20)); where != "" {
			p.ledger.Break("%s: %s", m.Name, where)
		}
	}
	p.report.take(p.ledger, p.o)
}

// crash is what a program prints that breaks down.
var crash = regexp.MustCompile(`(?m)^(panic: |fatal error: |WARNING: DATA RACE).*$`)

// close ends all, and keeps the logs of a proof that failed.
func (p *proof) close() error {
	if p.o.keep || len(p.report.Problems) > 0 {
		p.rig.Kill()
		p.report.Kept = p.rig.Dir()
		return nil
	}
	return p.rig.Close()
}

// tails returns the end of what each part printed.
func (p *proof) tails() (text string) {
	for _, m := range p.rig.Members {
		text += fmt.Sprintf("--- %s\n%s\n", m.Name, m.Tail(1000))
	}
	return text
}
