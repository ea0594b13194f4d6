// Command prime-serverd is butterfly's demo and benchmark: it tells primes
// from composites in two stages of load-balanced workers behind HTTP, in one
// process or with every part as a process of its own. It has the workers of
// examples/math too.
package main

import (
	"maps"

	"github.com/butterfly-zmq/butterfly/examples/math"
	"github.com/butterfly-zmq/butterfly/examples/primes"
	"github.com/butterfly-zmq/butterfly/pipeline/daemon"
)

func main() { newApp().Main() }

func newApp() *daemon.App {
	workers := primes.Workers()
	maps.Copy(workers, math.Workers())
	return &daemon.App{
		Name:        "prime-serverd",
		Short:       "Answers /is_prime?possible_prime=N through two stages of load-balanced workers.",
		Workers:     workers,
		Stages:      primes.Stages(),
		Simulate:    primes.Simulate,
		SimulateUse: "[FROM,]TO",
	}
}
