// Package primes is the demo pipeline: is a number prime? Two stages, parse
// and compute, give prime_server's answers, byte for byte in the body. The
// second stage comes in two kinds: Compute holds its slot until the answer is
// found, Slices goes back to the end of the stage's queue every few
// milliseconds.
//
// The computation is deliberately plain: it is the load, not the point.
package primes

import (
	"context"
	"encoding/binary"
	"io"
	"strconv"

	"github.com/butterfly-zmq/butterfly/pipeline"
)

// The texts of the errors are prime_server's.
const (
	badGet    = "GET requests should look like: 'is_prime?possible_prime=SOME_NUMBER'"
	badPost   = "POST requests should have a path of 'is_prime' and a body with 'SOME_NUMBER'"
	badMethod = "Only GET and POST requests supported"
)

// Composite is the answer to a number that is not prime.
const Composite = ^uint64(0)

// Parse is the first stage: it reads the number from GET
// /is_prime?possible_prime=N, or from the body of a POST on any path, and
// forwards it to the only next stage as 8 bytes, little-endian.
func Parse(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
	r, err := job.Request()
	if err != nil {
		return pipeline.Result{}, err
	}
	n, problem := number(r)
	if problem != "" {
		return pipeline.Text(400, problem), nil
	}
	return pipeline.Forward("", encode(n)), nil
}

// number returns the number that a request asks for, or what is wrong with it.
func number(r *pipeline.Request) (n uint64, problem string) {
	text, problem := "", badMethod
	switch r.Method {
	case "GET":
		problem = badGet
		if values := r.QueryValues("possible_prime"); len(values) == 1 && r.Path() == "/is_prime" {
			text = values[0]
		}
	case "POST":
		problem = badPost
		text = string(r.Body)
	}
	// ParseUint takes neither signs nor blanks nor, in base 10, underscores.
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, problem
	}
	return n, ""
}

// Compute is the second stage: it answers a prime, 0 and 1 by themselves and
// any other number by Composite.
func Compute(ctx context.Context, job *pipeline.Job) (pipeline.Result, error) {
	n, err := Decode(job.Bytes())
	if err != nil {
		return pipeline.Result{}, err
	}
	prime, err := IsPrime(ctx, n)
	if err != nil {
		return pipeline.Result{}, err
	}
	return answer(n, prime), nil
}

func answer(n uint64, prime bool) pipeline.Result {
	if !prime {
		n = Composite
	}
	return pipeline.Text(200, strconv.FormatUint(n, 10))
}

// Decode reads a number as it travels between the stages.
func Decode(b []byte) (uint64, error) {
	if len(b) != 8 {
		return 0, pipeline.Errorf(400, "a number to compute has 8 bytes, this has %d", len(b))
	}
	return binary.LittleEndian.Uint64(b), nil
}

// Echo answers 200 with the request's body, in parts if it is a large one.
func Echo(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
	r, err := job.Request()
	if err != nil {
		return pipeline.Result{}, err
	}
	response := &pipeline.Response{Status: 200, Body: r.Body}
	if t := r.Header().Get("Content-Type"); t != "" {
		response.Header.Set("Content-Type", t)
	}
	if _, large := r.Spooled(); !large {
		return pipeline.Reply(response), nil
	}
	body, err := job.Body()
	if err != nil {
		return pipeline.Result{}, err
	}
	return pipeline.Stream(response, func(_ context.Context, w *pipeline.StreamWriter) error {
		_, err := io.Copy(w, body)
		return err
	}), nil
}
