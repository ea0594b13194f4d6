package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"

	"github.com/butterfly-zmq/butterfly/examples/primes"
	"github.com/butterfly-zmq/butterfly/pipeline/daemon"
)

// kinds are the servers by name. Each serves until ctx ends, says where in a
// line of JSON on log, as the daemon's own log does, and returns its exit code.
var kinds = map[string]func(ctx context.Context, o *options, log io.Writer) int{
	"bare":     serveBare,
	"unsliced": serveGraph("primes.compute", ""),
	"sliced":   serveGraph("primes.slice", "next: [compute], max_visits: 100000"),
}

// serve is a server's process. It ends with ctx, and with its input: the one
// who measures holds the other end, so that a server never outlives it.
func serve(ctx context.Context, o *options, input io.Reader, log io.Writer) int {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, input)
		stop()
	}()
	return kinds[o.serve](ctx, o, log)
}

// serveGraph is the daemon that any user of pipeline/daemon has, running a graph
// like those of examples/primes.
func serveGraph(worker, more string) func(context.Context, *options, io.Writer) int {
	return func(ctx context.Context, o *options, log io.Writer) int {
		file, err := writeGraph(worker, more, o.workers)
		if err != nil {
			fmt.Fprintln(log, "mixed:", err)
			return 1
		}
		defer func() { _ = os.Remove(file) }() // in a directory that is cleared some time
		workers := primes.Workers()
		workers["primes.slice"] = primes.Slices{Length: o.slice}
		app := daemon.App{Name: "mixed", Workers: workers}
		return app.Execute(ctx, []string{"run", file, "--log-format", "json"}, io.Discard, log)
	}
}

const graphText = `version: 1
front: {listen: "127.0.0.1:0"}
routes: [{prefix: /, stage: parse}]
stages:
  parse: {worker: primes.parse, count: %[1]d, next: [compute]}
  compute: {worker: %[2]s, count: %[1]d, %[3]s}
`

// writeGraph makes a graph file and returns its name.
func writeGraph(worker, more string, count int) (name string, err error) {
	file, err := os.CreateTemp("", "mixed*.yaml")
	if err != nil {
		return "", err
	}
	_, err = fmt.Fprintf(file, graphText, count, worker, more)
	return file.Name(), errors.Join(err, file.Close())
}

// serveBare is net/http alone: every request is computed on its connection's
// goroutine as soon as it is there.
func serveBare(ctx context.Context, _ *options, log io.Writer) int {
	logger := slog.New(slog.NewJSONHandler(log, nil))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		logger.Error("listen", "err", err)
		return 1
	}
	server := http.Server{Handler: http.HandlerFunc(bare)}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })() // nobody waits for answers then
	logger.Info("serving", "url", "http://"+listener.Addr().String())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		logger.Error("serve", "err", err)
		return 1
	}
	return 0
}

func bare(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseUint(r.FormValue("possible_prime"), 10, 64)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	prime, err := primes.IsPrime(r.Context(), n)
	if err != nil {
		return // the client has left
	}
	if !prime {
		n = primes.Composite
	}
	_, _ = w.Write(strconv.AppendUint(nil, n, 10))
}
