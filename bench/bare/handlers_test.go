package main

import (
	"math/big"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/valyala/fasthttp"
)

func TestPrimesAnswersAsThePipelineDoes(t *testing.T) {
	for _, c := range []struct {
		method, uri, body string
		status            int
		want              string
	}{
		{"GET", "/is_prime?possible_prime=3", "", 200, "3"},
		{"GET", "/is_prime?possible_prime=4", "", 200, composite},
		{"GET", "/is_prime?possible_prime=0", "", 200, "0"},
		{"GET", "/is_prime?possible_prime=18446744073709551616", "", 400, badGet},
		{"GET", "/is_prime?possible_prime=%2B3", "", 400, badGet},
		{"GET", "/is_prime", "", 400, badGet},
		{"GET", "/other?possible_prime=3", "", 400, badGet},
		{"POST", "/any", "97", 200, "97"},
		{"POST", "/any", " 97", 400, badPost},
		{"PUT", "/is_prime?possible_prime=3", "3", 400, badMethod},
	} {
		ctx := request(c.method, c.uri, c.body)
		primes(ctx)
		assert.Equal(t, c.status, ctx.Response.StatusCode(), "%v", c)
		assert.Equal(t, c.want, string(ctx.Response.Body()), "%v", c)
	}
}

func TestIsPrimeAgreesWithAnotherAlgorithm(t *testing.T) {
	for n := uint64(2); n < 5000; n++ {
		assert.Equal(t, new(big.Int).SetUint64(n).ProbablyPrime(0), isPrime(n), "%d", n)
	}
}

func TestEchoReturnsBodyAndType(t *testing.T) {
	ctx := request("POST", "/", "hello")
	ctx.Request.Header.SetContentType("text/x-echo")
	echo(ctx)
	assert.Equal(t, "hello", string(ctx.Response.Body()))
	assert.Equal(t, "text/x-echo", string(ctx.Response.Header.ContentType()))
}

func TestAnUnknownModeIsRefused(t *testing.T) {
	assert.ErrorIs(t, run(t.Context(), "127.0.0.1:0", "nothing"), errMode)
}

func request(method, uri, body string) *fasthttp.RequestCtx {
	var ctx fasthttp.RequestCtx
	ctx.Request.Header.SetMethod(method)
	ctx.Request.SetRequestURI(uri)
	ctx.Request.SetBodyString(body)
	return &ctx
}
