package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/butterfly-zmq/butterfly/bench/internal/httpload"
)

// options is the command line.
type options struct {
	config  httpload.Config
	threads int
	json    bool
}

// processors is how many processors the run may use. The pacer of an open loop
// sleeps in the kernel and would keep one of the threads for itself.
func (o *options) processors() int {
	if o.config.Rate > 0 {
		return o.threads + 1
	}
	return o.threads
}

// parse reads and checks the command line. Flags may stand before and behind
// the URL.
func parse(args []string, help io.Writer) (*options, error) {
	var o options
	flags := o.flags()
	var operands []string
	for {
		if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(help, "usage: load [flags] URL")
			flags.SetOutput(help)
			flags.PrintDefaults()
			return nil, err
		} else if err != nil {
			return nil, err
		}
		if flags.NArg() == 0 {
			break
		}
		operands, args = append(operands, flags.Arg(0)), flags.Args()[1:]
	}
	if len(operands) != 1 {
		return nil, fmt.Errorf("give one URL, not %d: %q", len(operands), operands)
	}
	o.config.URL = operands[0]
	if o.config.Requests == 0 && o.config.Duration == 0 {
		o.config.Duration = 10 * time.Second
	}
	if o.threads < 1 {
		return nil, errors.New("--threads must be at least 1")
	}
	return &o, o.config.Validate()
}

func (o *options) flags() *flag.FlagSet {
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // a mistake gets one line, not the whole usage
	flags.Usage = func() {}
	c := &o.config
	flags.IntVar(&c.Connections, "connections", 64, "keep-alive connections, one request under way on each")
	flags.IntVar(&o.threads, "threads", 2, "processors that the load may use (GOMAXPROCS)")
	flags.DurationVar(&c.Duration, "duration", 0, "how long to measure (10s unless --requests is given)")
	flags.Int64Var(&c.Requests, "requests", 0, "how many requests to measure, instead of --duration")
	flags.DurationVar(&c.Warmup, "warmup", 0, "how long to send before measuring begins")
	flags.DurationVar(&c.Timeout, "timeout", 10*time.Second, "when to give up a request; at most a quarter later")
	flags.Float64Var(&c.Rate, "rate", 0, "open loop: requests due per `second`, latency counted from when each was due")
	flags.BoolVar(&c.Random, "random", false, "random gaps of that rate in an open loop, as of independent clients, instead of even ones")
	flags.Uint64Var(&c.Seed, "seed", 0, "which random gaps; the same number makes the same ones")
	flags.StringVar(&c.Method, "method", "GET", "method of the request")
	bytesVar(flags, &c.Body, "body", "body of the request")
	bytesVar(flags, &c.Expect, "expect-body", "body that every answer must have")
	flags.Func("header", "a further `line` 'Name: value' of the request; repeatable", func(line string) error {
		c.Header = append(c.Header, line)
		return nil
	})
	flags.BoolVar(&o.json, "json", false, "print the report as JSON")
	return flags
}

// bytesVar defines a flag that stays nil unless it is given, so that an empty
// value means something.
func bytesVar(flags *flag.FlagSet, to *[]byte, name, usage string) {
	flags.Func(name, usage, func(text string) error {
		*to = []byte(text)
		return nil
	})
}
