package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"time"
)

// options is the command line.
type options struct {
	rounds      int
	duration    time.Duration
	warmup      time.Duration
	connections int
	slots       int
	stageProcs  int
	only        string
	serverd     string
	check, json bool

	memory   bool
	requests int64
	steps    int
}

// errFlags is a value that a flag does not take.
var errFlags = errors.New("rounds, duration, connections, requests and steps must be positive, steps at least 3")

// parse reads and checks the command line.
func parse(args []string, help io.Writer) (*options, error) {
	var o options
	flags := o.flags()
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(help, "usage: compare [flags]")
		flags.SetOutput(help)
		flags.PrintDefaults()
		return nil, err
	} else if err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("no arguments expected, got %q", flags.Args())
	}
	// Three steps at least, since the memory's first third is compared with the last.
	if o.rounds < 1 || o.duration <= 0 || o.connections < 1 || o.requests < int64(o.steps) || o.steps < 3 {
		return nil, errFlags
	}
	return &o, nil
}

func (o *options) flags() *flag.FlagSet {
	flags := flag.NewFlagSet("compare", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // a mistake gets one line, not the whole usage
	flags.Usage = func() {}
	flags.IntVar(&o.rounds, "rounds", 5, "rounds; in each every contestant is measured once")
	flags.DurationVar(&o.duration, "duration", 5*time.Second, "how long to measure a contestant in a round")
	flags.DurationVar(&o.warmup, "warmup", time.Second, "load before each measurement that is not counted")
	flags.IntVar(&o.connections, "connections", 64, "keep-alive connections of the load")
	flags.IntVar(&o.slots, "slots", 0, "worker slots of a stage, in each process; 0 leaves the program's default")
	flags.IntVar(&o.stageProcs, "stage-procs", 0, "GOMAXPROCS of fronts, proxies and workers in several processes; 0 leaves the program's default")
	flags.StringVar(&o.only, "only", "", "measure only contestants whose name contains this `text`, and the bare ones they are compared with")
	flags.StringVar(&o.serverd, "serverd", "", "`path` of a prime-serverd to measure, instead of building one")
	flags.BoolVar(&o.check, "check", false, "exit with 1 if a target is missed")
	flags.BoolVar(&o.json, "json", false, "print the result as JSON")
	flags.BoolVar(&o.memory, "memory", false, "measure memory over a long run instead of speed")
	flags.Int64Var(&o.requests, "requests", 1_000_000, "requests to each contestant with --memory")
	flags.IntVar(&o.steps, "steps", 10, "how often the memory is read with --memory")
	return flags
}
