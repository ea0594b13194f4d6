package primes_test

import (
	"context"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/examples/primes"
	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/pipelinetest"
)

var (
	parse   = pipeline.HandlerFunc(primes.Parse)
	compute = pipeline.HandlerFunc(primes.Compute)
)

const (
	badGet    = "GET requests should look like: 'is_prime?possible_prime=SOME_NUMBER'"
	badPost   = "POST requests should have a path of 'is_prime' and a body with 'SOME_NUMBER'"
	badMethod = "Only GET and POST requests supported"
)

func TestAnswers(t *testing.T) {
	for number, want := range map[string]string{
		"0": "0", "1": "1", "2": "2", "3": "3", "4": "18446744073709551615", "5": "5",
		"9": "18446744073709551615", "15": "18446744073709551615", "25": "18446744073709551615",
		"49": "18446744073709551615", "97": "97", "10403": "18446744073709551615", "65537": "65537",
		"2147483647": "2147483647", "18446744073709551615": "18446744073709551615", "007": "7",
	} {
		for _, parsed := range []*pipelinetest.Outcome{
			pipelinetest.Get(t.Context(), parse, "/is_prime?possible_prime="+number),
			pipelinetest.Post(t.Context(), parse, "/any/path", number),
		} {
			require.Nil(t, parsed.Response, number)
			assert.Empty(t, parsed.Stage, "the only next one")
			require.Len(t, parsed.Frames, 1)
			require.Len(t, parsed.Frames[0], 8)
			done := pipelinetest.Call(t.Context(), compute, parsed.Frames...)
			assert.Equal(t, 200, done.Response.Status)
			assert.Equal(t, want, string(done.Response.Body), number)
		}
	}
}

func TestBadRequests(t *testing.T) {
	bad := []string{"", "x", "-1", "+1", " 1", "1 ", "1x", "0x10", "1_000", "18446744073709551616", "1.0", "1e3", "\u0663"}
	for _, n := range bad {
		escaped := strings.NewReplacer(" ", "%20", "+", "%2B", "\u0663", "%D9%A3").Replace(n)
		assertBad(t, pipelinetest.Get(t.Context(), parse, "/is_prime?possible_prime="+escaped), badGet, n)
		assertBad(t, pipelinetest.Post(t.Context(), parse, "/is_prime", n), badPost, n)
	}
	for _, target := range []string{"/", "/is_prime", "/is_prime?x=3", "/other?possible_prime=3", "/is_prime/?possible_prime=3",
		"/is_prime?possible_prime=3&possible_prime=5", "/is_prime?possible_prime"} {
		assertBad(t, pipelinetest.Get(t.Context(), parse, target), badGet, target)
	}
	for _, method := range []string{"HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "get"} {
		r := pipeline.NewRequest(method, "/is_prime?possible_prime=3", nil, nil)
		assertBad(t, pipelinetest.Do(t.Context(), parse, r), badMethod, method)
	}
}

func assertBad(t *testing.T, o *pipelinetest.Outcome, text, what string) {
	t.Helper()
	if assert.NotNil(t, o.Response, what) {
		assert.Equal(t, 400, o.Response.Status, what)
		assert.Equal(t, text, string(o.Response.Body), what)
	}
}

func TestComputeRefusesOtherThanEightBytes(t *testing.T) {
	for _, frame := range []string{"", "1234567", "123456789"} {
		assert.Equal(t, 400, pipelinetest.Call(t.Context(), compute, []byte(frame)).Response.Status)
	}
}

func TestIsPrimeAgreesWithAnotherAlgorithm(t *testing.T) {
	for n := uint64(2); n < 5000; n++ {
		got, err := primes.IsPrime(t.Context(), n)
		require.NoError(t, err)
		assert.Equal(t, new(big.Int).SetUint64(n).ProbablyPrime(0), got, n)
	}
}

// A prime near 10^18 takes a billion divisions: the test passes only if the
// context is looked at.
func TestIsPrimeStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := primes.IsPrime(ctx, 999999999999999989)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestEcho(t *testing.T) {
	r := pipeline.NewRequest("POST", "/x", pipeline.Header{{Name: "Content-Type", Value: "a/b"}}, []byte("body\x00\r\n"))
	o := pipelinetest.Do(t.Context(), pipeline.HandlerFunc(primes.Echo), r)
	assert.Equal(t, 200, o.Response.Status)
	assert.Equal(t, "body\x00\r\n", string(o.Response.Body))
	assert.Equal(t, "a/b", o.Response.Header.Get("Content-Type"))
}

func TestRanges(t *testing.T) {
	for s, want := range map[string][]string{
		"9":     {"3", "5", "7", "9"},
		"10,14": {"11", "13"},
		"11,11": {"11"},
		"12,12": nil,
		"2":     nil,
		"0,1":   {"1"},
		"18446744073709551613,18446744073709551615": {"18446744073709551613", "18446744073709551615"},
	} {
		if s == "2" { // up to 2, from 3
			_, err := primes.ParseRange(s)
			assert.Error(t, err)
			continue
		}
		r, err := primes.ParseRange(s)
		require.NoError(t, err, s)
		var got []string
		for frames := range r.Requests() {
			line, _, _ := strings.Cut(string(frames[0]), " HTTP/1.1\r\n")
			got = append(got, strings.TrimPrefix(line, "GET /is_prime?possible_prime="))
		}
		assert.Equal(t, want, got, s)
		assert.Equal(t, len(want), r.Len(), s)
	}
	for _, s := range []string{"", ",", "5,", "5,3", "-1", "a", "1,2,3", "18446744073709551616"} {
		_, err := primes.ParseRange(s)
		assert.Error(t, err, s)
	}
	r, err := primes.ParseRange("100000000000000,100000000008000")
	require.NoError(t, err)
	assert.Equal(t, 4000, r.Len())
	assert.Len(t, slices.Collect(r.Requests()), 4000)
}

func BenchmarkIsPrime(b *testing.B) {
	for b.Loop() {
		if p, err := primes.IsPrime(b.Context(), 1000000007); !p || err != nil {
			b.Fatal(p, err)
		}
	}
}
