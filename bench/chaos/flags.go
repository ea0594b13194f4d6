//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/butterfly-zmq/butterfly/bench/internal/trial"
)

// options is the command line.
type options struct {
	time    time.Duration
	seed    uint64
	schemes []string
	faults  []action // what the script may do; nil: all
	gap     time.Duration
	atOnce  int
	clients int
	timeout time.Duration
	slack   time.Duration
	long    time.Duration
	python  bool
	json    bool
	script  bool
	keep    bool
	plant   trial.Plant // tests plant mistakes
}

// parse reads and checks the command line.
func parse(args []string, help io.Writer) (*options, error) {
	o := &options{}
	schemes, faults := "", ""
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // a mistake gets one line, not the whole usage
	flags.Usage = func() {}
	flags.DurationVar(&o.time, "time", time.Minute, "how long things are done to each deployment")
	flags.Uint64Var(&o.seed, "seed", 0, "what is done, and what is asked for; 0: another every time")
	flags.StringVar(&schemes, "schemes", "ipc,tcp", "what connects the parts: ipc, tcp or both, one after the other")
	flags.StringVar(&faults, "faults", "", "what is done, of `kinds` with commas between; empty: all. Where there are but "+joined(sudden)+", 504 is wrong, and 502 to GET; where there is but term, all but right answers are")
	flags.DurationVar(&o.gap, "gap", 400*time.Millisecond, "time between two faults, on average")
	flags.IntVar(&o.atOnce, "at-once", 3, "most faults at a time")
	flags.IntVar(&o.clients, "clients", 4, "clients of each kind")
	flags.DurationVar(&o.timeout, "timeout", 5*time.Second, "the fronts' deadline for an answer")
	flags.DurationVar(&o.slack, "slack", 2*time.Second, "what an answer may be later than that, on a busy machine")
	flags.DurationVar(&o.long, "long", 12*time.Second, "the longest that a part is stopped or cut off, one time in eight")
	flags.BoolVar(&o.python, "python", true, "the last stage's workers are in Python, which needs pyzmq")
	flags.BoolVar(&o.json, "json", false, "print the report as JSON")
	flags.BoolVar(&o.script, "script", false, "print what would be done, and do nothing")
	flags.BoolVar(&o.keep, "keep", false, "keep the folder with the parts' logs; it is kept when a promise was broken")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(help, "usage: chaos [flags]")
		flags.SetOutput(help)
		flags.PrintDefaults()
		return nil, err
	} else if err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("no arguments expected, got %q", flags.Args())
	}
	for _, s := range strings.Split(schemes, ",") {
		if s != "ipc" && s != "tcp" {
			return nil, fmt.Errorf("--schemes: %q is neither ipc nor tcp", s)
		}
		o.schemes = append(o.schemes, s)
	}
	for _, f := range strings.FieldsFunc(faults, func(r rune) bool { return r == ',' }) {
		if !slices.Contains(all, action(f)) {
			return nil, fmt.Errorf("--faults: there is no %q, want some of %s", f, joined(all))
		}
		o.faults = append(o.faults, action(f))
	}
	if o.time <= 0 || o.gap <= 0 || o.timeout <= 0 || o.slack <= 0 || o.long <= 0 || o.atOnce < 1 || o.clients < 1 {
		return nil, errors.New("times, --at-once and --clients must be positive")
	}
	if o.seed == 0 {
		o.seed = uint64(rand.Uint32()) + 1
	}
	return o, nil
}

// only reports whether the script does nothing but these.
func (o *options) only(actions ...action) bool {
	return len(o.faults) > 0 && !slices.ContainsFunc(o.faults, func(a action) bool { return !slices.Contains(actions, a) })
}

func joined(actions []action) string {
	var names []string
	for _, a := range actions {
		names = append(names, string(a))
	}
	return strings.Join(names, ",")
}
