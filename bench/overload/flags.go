//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// options is the command line.
type options struct {
	services  []service
	duration  time.Duration
	around    time.Duration
	factor    float64
	timeout   time.Duration
	cost      time.Duration
	slots     int
	computing int
	pending   int
	settle    time.Duration
	jobs      int
	admission string
	seed      uint64
	check     bool
	json      bool
}

// parse reads and checks the command line.
func parse(args []string, help io.Writer) (*options, error) {
	o := &options{services: allServices}
	only := ""
	flags := flag.NewFlagSet("overload", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // a mistake gets one line, not the whole usage
	flags.Usage = func() {}
	flags.StringVar(&only, "only", "", "measure only services whose `name` holds this, as in 'wait, over ipc'")
	flags.DurationVar(&o.duration, "duration", time.Minute, "how long the overload lasts")
	flags.DurationVar(&o.around, "around", 5*time.Second, "how long what is borne is measured, and half of it, before and behind")
	flags.Float64Var(&o.factor, "factor", 10, "how many times the load that is borne")
	flags.DurationVar(&o.timeout, "timeout", time.Second, "the front's deadline for an answer")
	flags.DurationVar(&o.cost, "cost", 50*time.Millisecond, "how long a job sleeps, but for the kind sliced")
	flags.IntVar(&o.slots, "slots", 8, "such jobs done at a time")
	flags.IntVar(&o.computing, "computing", 1, "jobs of the kind sliced that a stage does at a time: with one per core the load takes its time from them")
	flags.IntVar(&o.pending, "pending", 1024, "the front's max_pending")
	flags.DurationVar(&o.settle, "settle", 0, "how long the overload has lasted when the count begins")
	flags.IntVar(&o.jobs, "jobs", 0, "the overload lasts at least as long as so `many` jobs take the service: on a slow machine, longer than --duration")
	flags.StringVar(&o.admission, "admission", "", "which jobs are taken, but for the kind bodies: deadline or queue; empty: as by default")
	flags.Uint64Var(&o.seed, "seed", 1, "which random times the requests are due at")
	flags.BoolVar(&o.check, "check", false, "exit with 1 if a target is missed")
	flags.BoolVar(&o.json, "json", false, "print the result as JSON")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(help, "usage: overload [flags]")
		flags.SetOutput(help)
		flags.PrintDefaults()
		return nil, err
	} else if err != nil {
		return nil, err
	}
	o.services = slices.DeleteFunc(slices.Clone(allServices), func(s service) bool { return !strings.Contains(s.String(), only) })
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("no arguments expected, got %q", flags.Args())
	}
	if err := o.validate(only); err != nil {
		return nil, err
	}
	return o, nil
}

// validate says what is wrong with the options.
func (o *options) validate(only string) error {
	switch {
	case len(o.services) == 0:
		return fmt.Errorf("--only: there is no service %q", only)
	case o.duration <= 0 || o.around <= 0 || o.timeout <= 0 || o.cost <= 0 || o.slots < 1 || o.computing < 1 || o.pending < 1 || o.settle < 0 || o.jobs < 0 || !(o.factor > 0):
		return errors.New("durations, factor and slots must be positive")
	case o.admission != "" && o.admission != "deadline" && o.admission != "queue":
		return fmt.Errorf("--admission: want deadline or queue, not %q", o.admission)
	}
	return nil
}
