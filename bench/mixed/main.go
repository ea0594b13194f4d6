// Command mixed measures what cheap requests suffer from dear ones on the same
// workers: an open loop of many cheap and a few heavy requests, at random times,
// against the primes pipeline whose second stage holds its slot until it has
// the answer, the one that works in slices, and a bare handler without a queue.
// Each server is a process of its own, and they take turns in rounds.
//
//	go run ./bench/mixed           # latencies of both kinds, heavy answers a second
//	go run ./bench/mixed --check   # fails if the sliced pipeline misses its targets
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
		fmt.Fprintln(os.Stderr, "mixed:", err)
		os.Exit(2)
	}
	if o.serve != "" {
		os.Exit(serve(ctx, o, os.Stdin, os.Stderr))
	}
	if err := run(ctx, o, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "mixed:", err)
		os.Exit(1)
	}
}

// run starts the servers, measures, prints to out and stops them. What it does
// meanwhile it tells on progress.
func run(ctx context.Context, o *options, out, progress io.Writer) error {
	servers, err := startAll(ctx, o)
	defer stopAll(servers)
	if err != nil {
		return err
	}
	results, err := measure(ctx, o, servers, progress)
	if err != nil {
		return err
	}
	v := judge(results)
	if err := o.print(out, results, v); err != nil {
		return err
	}
	if o.check && len(v.Missed) > 0 {
		return errMissed
	}
	return nil
}
