package primes

import (
	"fmt"

	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/daemon"
)

// Workers returns the handlers of the demo by the names under which they are
// started.
func Workers() map[string]pipeline.Handler {
	return map[string]pipeline.Handler{
		"primes.parse":   pipeline.HandlerFunc(Parse),
		"primes.compute": pipeline.HandlerFunc(Compute),
		"primes.slice":   Slices{},
		"primes.list":    pipeline.HandlerFunc(List),
		"echo":           pipeline.HandlerFunc(Echo),
	}
}

// Stages returns the demo's pipeline: parse, then compute.
func Stages() []daemon.Stage {
	return []daemon.Stage{
		{Name: "parse", Worker: "primes.parse", Next: []string{"compute"}},
		{Name: "compute", Worker: "primes.compute"},
	}
}

// Simulate tests the odd numbers of a Range and counts the primes.
func Simulate(arg string) (*daemon.Simulation, error) {
	r, err := ParseRange(arg)
	if err != nil {
		return nil, err
	}
	found := 0
	return &daemon.Simulation{
		Jobs:  r.Requests(),
		Total: r.Len(),
		Collect: func(_ int, o pipeline.Outcome) error {
			if o.Err != nil {
				return o.Err
			}
			prime, err := Answered(o.Answer)
			if prime {
				found++
			}
			return err
		},
		Result: func() string { return fmt.Sprintf("%d primes found", found) },
	}, nil
}
