// Command bare is the control of every comparison in bench: one fasthttp
// server whose handler does the whole job itself, with no pipeline behind it.
//
// The server runs on fasthttp's defaults, but for the Server header, which the
// pipeline does not send either. It is neither tuned to look good nor burdened
// with what the pipeline's front has to do for its promises.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/valyala/fasthttp"
)

// errMode is returned for a --mode that is not in modes.
var errMode = errors.New("bare: --mode is primes or echo")

// modes names the jobs; each is what the stages of a pipeline do in a compare run.
var modes = map[string]fasthttp.RequestHandler{
	"primes": primes,
	"echo":   echo,
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "`address` to serve HTTP on; the real one is printed")
	mode := flag.String("mode", "primes", "the job: primes or echo")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, *mode); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run serves until ctx ends. It prints the bound address on stdout, since the
// port may have been left to the kernel.
func run(ctx context.Context, listen, mode string) error {
	handler, known := modes[mode]
	if !known {
		return fmt.Errorf("%w, not %q", errMode, mode)
	}
	listener, err := net.Listen("tcp", strings.TrimPrefix(listen, "tcp://"))
	if err != nil {
		return fmt.Errorf("bare: %w", err)
	}
	fmt.Printf("http://%s\n", listener.Addr())
	server := fasthttp.Server{Handler: handler, NoDefaultServerHeader: true}
	defer context.AfterFunc(ctx, func() {
		_ = server.Shutdown() // the process ends with it: nothing is left to save
	})()
	if err := server.Serve(listener); err != nil {
		return fmt.Errorf("bare: serve: %w", err)
	}
	return nil
}
