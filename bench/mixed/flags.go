package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/butterfly-zmq/butterfly/examples/primes"
)

// options is the command line.
type options struct {
	rounds           int
	duration, warmup time.Duration
	cheap, heavy     stream
	connections      int
	seed             uint64
	workers          int
	procs            int
	slice            time.Duration
	repeat           int
	check, json      bool

	serve string // the kind of server that this process is to be; "": it measures
}

// stream is one kind of request.
type stream struct {
	number uint64  // to be tested
	rate   float64 // requests a second
}

// errFlags is a value that a flag does not take.
var errFlags = errors.New("rounds, duration, slice, rates, connections and workers must be positive")

// parse reads and checks the command line.
func parse(args []string, help io.Writer) (*options, error) {
	var o options
	flags := o.flags()
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(help, "usage: mixed [flags]")
		flags.SetOutput(help)
		flags.PrintDefaults()
		return nil, err
	} else if err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("no arguments expected, got %q", flags.Args())
	}
	if o.rounds < 1 || o.duration <= 0 || o.slice <= 0 || o.connections < 1 || o.workers < 1 ||
		!(o.cheap.rate > 0) || !(o.heavy.rate > 0) {
		return nil, errFlags
	}
	if o.warmup < 0 || o.procs < 0 || o.repeat < 0 {
		return nil, errors.New("warmup, procs and repeat must not be negative")
	}
	if _, known := kinds[o.serve]; !known && o.serve != "" {
		return nil, fmt.Errorf("--serve: there is no server %q", o.serve)
	}
	return &o, nil
}

func (o *options) flags() *flag.FlagSet {
	flags := flag.NewFlagSet("mixed", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // a mistake gets one line, not the whole usage
	flags.Usage = func() {}
	flags.IntVar(&o.rounds, "rounds", 5, "rounds; in each every server is measured once")
	flags.DurationVar(&o.duration, "duration", 10*time.Second, "how long to measure a server in a round")
	flags.DurationVar(&o.warmup, "warmup", 2*time.Second, "load before each measurement that is not counted")
	flags.Uint64Var(&o.cheap.number, "cheap", 3, "number that the cheap requests ask for")
	flags.Float64Var(&o.cheap.rate, "cheap-rate", 380, "cheap requests a `second`")
	flags.Uint64Var(&o.heavy.number, "heavy", 100000000000097, "number that the heavy requests ask for")
	flags.Float64Var(&o.heavy.rate, "heavy-rate", 20, "heavy requests a `second`")
	flags.IntVar(&o.connections, "connections", 64, "keep-alive connections for each kind of request")
	flags.Uint64Var(&o.seed, "seed", 1, "which random times the requests are due at; the same in each round for all servers")
	flags.IntVar(&o.workers, "workers", 2, "workers of each stage")
	flags.IntVar(&o.procs, "procs", 0, "GOMAXPROCS of the servers; 0 leaves each its default")
	flags.DurationVar(&o.slice, "slice", primes.DefaultSlice, "how long a visit of the sliced pipeline computes")
	flags.IntVar(&o.repeat, "repeat", 0, "how often a measurement is repeated while other programs take more than 5 % of the processors (Linux)")
	flags.BoolVar(&o.check, "check", false, "exit with 1 if a target is missed")
	flags.BoolVar(&o.json, "json", false, "print the result as JSON")
	flags.StringVar(&o.serve, "serve", "", "be one of the servers, which is how this program starts them: `kind` is bare, unsliced or sliced")
	return flags
}

// serverArgs is the command line of a server of that kind.
func (o *options) serverArgs(kind string) []string {
	return []string{"--serve", kind, "--workers", strconv.Itoa(o.workers), "--slice", o.slice.String()}
}
