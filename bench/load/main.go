// Command load measures how an HTTP/1.1 server answers one request sent over
// and over: requests a second, failures by kind, percentiles of the latency.
//
//	go run ./bench/load --duration 10s 'http://127.0.0.1:8002/is_prime?possible_prime=3'
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
	"runtime"
	"syscall"

	"github.com/butterfly-zmq/butterfly/bench/internal/httpload"
)

// errNothing is a run that measured nothing.
var errNothing = errors.New("no request got a good answer")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(2)
	}
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// run measures and prints the report to w.
func run(ctx context.Context, o *options, w io.Writer) error {
	runtime.GOMAXPROCS(o.processors())
	report, err := httpload.Run(ctx, o.config)
	if err != nil {
		return err
	}
	if o.json {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(report)
	} else {
		err = report.Write(w)
	}
	if err == nil && len(report.Statuses) == 0 {
		err = errNothing
	}
	return err
}
