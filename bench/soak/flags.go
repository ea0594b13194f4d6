//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/butterfly-zmq/butterfly/bench/internal/trial"
)

// options is the command line.
type options struct {
	rounds   int
	wave     time.Duration
	settle   time.Duration
	scheme   string
	seed     uint64
	clients  int
	timeout  time.Duration
	slack    time.Duration
	together bool
	python   bool
	json     bool
	plant    trial.Plant // tests plant mistakes
}

// parse reads and checks the command line.
func parse(args []string, help io.Writer) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // a mistake gets one line, not the whole usage
	flags.Usage = func() {}
	flags.IntVar(&o.rounds, "rounds", 3, "how often all waves come")
	flags.DurationVar(&o.wave, "wave", 10*time.Second, "how long a wave is")
	flags.DurationVar(&o.settle, "settle", 40*time.Second, "how long processes may take to be as idle as before")
	flags.StringVar(&o.scheme, "scheme", "ipc", "what connects the parts: ipc or tcp")
	flags.Uint64Var(&o.seed, "seed", 0, "what is asked for; 0: another every time")
	flags.IntVar(&o.clients, "clients", 4, "clients of each kind in an ordinary wave")
	flags.DurationVar(&o.timeout, "timeout", 10*time.Second, "the fronts' deadline for an answer")
	flags.DurationVar(&o.slack, "slack", 5*time.Second, "what an answer may be later than that, on a busy machine")
	flags.BoolVar(&o.together, "together", false, "look at the processes behind each round, not behind each wave")
	flags.BoolVar(&o.python, "python", true, "the last stage's workers are in Python, which needs pyzmq")
	flags.BoolVar(&o.json, "json", false, "print the report as JSON")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(help, "usage: soak [flags]")
		flags.SetOutput(help)
		flags.PrintDefaults()
		return nil, err
	} else if err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("no arguments expected, got %q", flags.Args())
	}
	if o.scheme != "ipc" && o.scheme != "tcp" {
		return nil, fmt.Errorf("--scheme: %q is neither ipc nor tcp", o.scheme)
	}
	if o.rounds < 1 || o.wave <= 0 || o.settle <= 0 || o.clients < 1 || o.timeout <= 0 || o.slack <= 0 {
		return nil, errors.New("--rounds, --clients and times must be positive")
	}
	if o.seed == 0 {
		o.seed = uint64(rand.Uint32()) + 1
	}
	return o, nil
}
