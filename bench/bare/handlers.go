package main

import (
	"strconv"

	"github.com/valyala/fasthttp"
)

// composite is how a number that is no prime is answered, here as in the
// pipeline and in prime_server.
const composite = "18446744073709551615"

// The refusals of the primes pipeline, so that a load which sends bad requests
// compares the same work too.
const (
	badGet    = "GET requests should look like: 'is_prime?possible_prime=SOME_NUMBER'"
	badPost   = "POST requests should have a path of 'is_prime' and a body with 'SOME_NUMBER'"
	badMethod = "Only GET and POST requests supported"
)

// primes answers whether the number in the request is a prime.
func primes(ctx *fasthttp.RequestCtx) {
	text, refusal := number(ctx)
	candidate, err := strconv.ParseUint(string(text), 10, 64)
	switch {
	case err != nil:
		ctx.SetStatusCode(fasthttp.StatusBadRequest)
		ctx.SetBodyString(refusal)
	case isPrime(candidate):
		ctx.SetBody(strconv.AppendUint(nil, candidate, 10))
	default:
		ctx.SetBodyString(composite)
	}
}

// number returns the text of the number that a request asks for, and the
// refusal if it is none.
func number(ctx *fasthttp.RequestCtx) (text []byte, refusal string) {
	switch {
	case ctx.IsGet() && string(ctx.Path()) == "/is_prime":
		return ctx.QueryArgs().Peek("possible_prime"), badGet
	case ctx.IsGet():
		return nil, badGet
	case ctx.IsPost():
		return ctx.PostBody(), badPost
	}
	return nil, badMethod
}

// isPrime divides by 2, 3, 4, … up to the shrinking quotient: slow on purpose,
// one division a step, as in the pipeline's compute stage. It counts 0 and 1 as
// primes, as prime_server does.
func isPrime(candidate uint64) bool {
	upper := candidate
	for divisor := uint64(2); divisor < upper; divisor++ {
		quotient := candidate / divisor
		if quotient*divisor == candidate {
			return false
		}
		upper = quotient
	}
	return true
}

// echo answers 200 with the request's body and type.
func echo(ctx *fasthttp.RequestCtx) {
	if contentType := ctx.Request.Header.ContentType(); len(contentType) > 0 {
		ctx.SetContentTypeBytes(contentType)
	}
	ctx.SetBody(ctx.PostBody())
}
