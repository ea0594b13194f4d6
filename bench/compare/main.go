// Command compare measures the pipeline beside bare fasthttp handlers that do
// the same jobs: every contestant as separate processes, all in one run, on one
// machine, under the same load, in rounds that take turns so that whatever else
// the machine does hits all of them.
//
//	go run ./bench/compare           # requests a second, and the ratios
//	go run ./bench/compare --check   # fails if a target is missed
//	go run ./bench/compare --memory  # resident memory and heap over a long run
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(2)
	}
	if err := run(ctx, o, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

// run builds the programs, measures, prints to out, and removes everything it
// made. What it does meanwhile it tells on progress.
func run(ctx context.Context, o *options, out, progress io.Writer) (err error) {
	chosen, err := choose(contest(), o.only)
	if err != nil {
		return err
	}
	// A short name: a socket's path has room for about a hundred bytes.
	dir, err := os.MkdirTemp("", "bfly")
	if err != nil {
		return fmt.Errorf("make a directory for the run: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	fmt.Fprintln(progress, "building")
	programs, err := build(ctx, dir, o.serverd, chosen)
	if err != nil {
		return err
	}
	b := &bench{options: o, dir: dir, programs: programs, progress: progress}
	if o.memory {
		return b.measureMemory(ctx, chosen, out)
	}
	return b.measureSpeed(ctx, chosen, out)
}

// bench is what every measurement of a run shares.
type bench struct {
	*options
	dir      string
	programs map[string]string // path by name
	progress io.Writer
}
