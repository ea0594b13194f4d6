//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	partMain()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, "overload:", err)
		os.Exit(2)
	}
	if err := run(ctx, o, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "overload:", err)
		os.Exit(1)
	}
}

// run measures one service after the other and prints the figures to out. What it
// does meanwhile it tells on progress.
func run(ctx context.Context, o *options, out, progress io.Writer) error {
	var results []*result
	for _, s := range o.services {
		r, err := measure(ctx, o, s, progress)
		if err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
		results = append(results, r)
	}
	if o.json {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(results); err != nil {
			return err
		}
	} else if err := write(out, results); err != nil {
		return err
	}
	var missed error
	if o.check {
		for i, r := range results {
			missed = errors.Join(missed, r.check(o.services[i], o), r.prompt(o.services[i], o))
		}
	}
	return missed
}
