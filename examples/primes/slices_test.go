package primes_test

import (
	"context"
	"encoding/binary"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/examples/primes"
	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
	"github.com/butterfly-zmq/butterfly/pipeline/graph"
	"github.com/butterfly-zmq/butterfly/pipeline/pipelinetest"
)

// shortest makes every visit as short as it can be.
var shortest = primes.Slices{Length: time.Nanosecond}

func frame(numbers ...uint64) (b []byte) {
	for _, n := range numbers {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	return b
}

func TestSlicesAnswerAsComputeDoes(t *testing.T) {
	for _, c := range []struct {
		number uint64
		visits int // 4096 divisions each
	}{
		{0, 1}, {1, 1}, {2, 1}, {4, 1}, {9, 1}, {97, 1}, {10403, 1}, {65537, 1},
		{1000000007, 8}, {1000000007 * 2, 1}, {31607 * 31607, 8}, {99999820000081, 2442}, {18446744073709551615, 1},
	} {
		want := pipelinetest.Call(t.Context(), compute, frame(c.number)).Response
		got := pipelinetest.Call(t.Context(), shortest, frame(c.number))
		visits := 1
		for ; got.Response == nil; visits++ {
			require.Equal(t, "test", got.Stage, "its own")
			require.Len(t, got.Frames, 1)
			got = pipelinetest.Call(t.Context(), shortest, got.Frames...)
		}
		assert.Equal(t, want, got.Response, c.number)
		assert.Equal(t, c.visits, visits, c.number)
	}
}

func TestAVisitLastsItsSlice(t *testing.T) {
	begun := time.Now()
	o := pipelinetest.Call(t.Context(), primes.Slices{Length: 20 * time.Millisecond}, frame(999999999999999989))
	require.Nil(t, o.Response)
	assert.GreaterOrEqual(t, time.Since(begun), 20*time.Millisecond)
	begun = time.Now()
	o = pipelinetest.Call(t.Context(), primes.Slices{}, frame(999999999999999989))
	require.Nil(t, o.Response)
	assert.GreaterOrEqual(t, time.Since(begun), primes.DefaultSlice)
}

func TestSlicesRefuseStatesThatNoVisitLeaves(t *testing.T) {
	for _, c := range []struct {
		frames [][]byte
		want   string
	}{
		{[][]byte{{}}, "8 bytes to begin with, or 16 of an earlier visit: this has 0"},
		{[][]byte{frame(3)[:7]}, "this has 7"},
		{[][]byte{frame(3, 4, 5)}, "this has 24"},
		{[][]byte{frame(1000003), frame(3)}, "a trial division has 1 frame, this has 2"},
		{[][]byte{frame(1000003, 0)}, "a trial division of 1000003 does not go on with divisor 0"},
		{[][]byte{frame(1000003, 1)}, "divisor 1"},
		{[][]byte{frame(1000003, 2)}, "divisor 2"},
		{[][]byte{frame(1000003, 1001)}, "divisor 1001"},
		{[][]byte{frame(25, 6)}, "divisor 6"},
		{[][]byte{frame(0, 3)}, "a trial division of 0"},
		{[][]byte{frame(1000003, ^uint64(0))}, "divisor 18446744073709551615"},
	} {
		r := pipelinetest.Call(t.Context(), shortest, c.frames...).Response
		if assert.NotNil(t, r, c.want) {
			assert.Equal(t, 400, r.Status, c.want)
			assert.Contains(t, string(r.Body), c.want)
		}
	}
	r := pipelinetest.Call(t.Context(), shortest, frame(1000003, 1000)).Response
	require.NotNil(t, r, "the last divisor to be tried")
	assert.Equal(t, "1000003", string(r.Body))
}

// The number takes a billion divisions, and the slice would last an hour.
func TestASliceStopsWithItsContext(t *testing.T) {
	ctx, leave := context.WithTimeout(t.Context(), time.Millisecond)
	defer leave()
	o := pipelinetest.Call(ctx, primes.Slices{Length: time.Hour}, frame(999999999999999989))
	assert.Nil(t, o, "nobody is there any more")
}

// serve runs a graph file in this process for the test, with one worker a stage
// and at a free address.
func serve(t *testing.T, file string, workers map[string]pipeline.Handler) *cluster.LocalGraph {
	g, err := graph.Load([]string{file}, graph.Options{Workers: slices.Collect(maps.Keys(workers))})
	require.NoError(t, err)
	assert.Empty(t, g.Warnings)
	g.Fronts[0].Listen = "127.0.0.1:0"
	for i := range g.Stages {
		g.Stages[i].Count = 1
	}
	service, err := cluster.NewService(cluster.ServiceConfig{Graph: g, Workers: workers})
	require.NoError(t, err)
	whole, err := service.Local()
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- whole.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-done)
	})
	for _, ready := range whole.Ready() {
		<-ready
	}
	return whole
}

// ask asks a running graph. The error is that of ctx.
func ask(ctx context.Context, g *cluster.LocalGraph, method, target, body string) (status int, answer string, err error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+g.Addrs()[0].String()+target, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	response, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	got, err := io.ReadAll(response.Body)
	return response.StatusCode, string(got), err
}

func TestBothGraphsAnswerTheSame(t *testing.T) {
	workers := primes.Workers()
	workers["primes.slice"] = shortest
	whole, sliced := serve(t, "primes.yaml", workers), serve(t, "primes-sliced.yaml", workers)
	requests := [][3]string{
		{"GET", "/", ""}, {"GET", "/is_prime", ""}, {"PUT", "/is_prime?possible_prime=3", ""}, {"POST", "/any", "97"}, {"POST", "/any", " 97"},
	}
	for _, number := range []string{"0", "3", "4", "10403", "1000000007", "99999820000081", "18446744073709551615", "007", "-1", "x"} {
		requests = append(requests, [3]string{"GET", "/is_prime?possible_prime=" + number, ""})
	}
	for _, r := range requests {
		status, body, err := ask(t.Context(), whole, r[0], r[1], r[2])
		require.NoError(t, err)
		gotStatus, gotBody, err := ask(t.Context(), sliced, r[0], r[1], r[2])
		require.NoError(t, err)
		assert.Equal(t, status, gotStatus, r)
		assert.Equal(t, body, gotBody, r)
	}
	assert.Greater(t, visits(sliced), uint64(2442), "the job of 99999820000081 alone came that often")
}

// visits counts those of the second stage that are over.
func visits(g *cluster.LocalGraph) uint64 { return g.Stats()[1].Jobs }

// The long job has billions of divisions to go when the short ones are answered
// by the only worker.
func TestAShortJobPassesALongOne(t *testing.T) {
	g := serve(t, "primes-sliced.yaml", primes.Workers())
	leaving, leave := context.WithCancel(t.Context())
	long := make(chan error, 1)
	go func() {
		_, _, err := ask(leaving, g, "POST", "/", "18446744073709551557")
		long <- err
	}()
	require.Eventually(t, func() bool { return visits(g) > 0 }, time.Minute, time.Millisecond)
	for _, number := range []string{"97", "1000000007"} {
		_, body, err := ask(t.Context(), g, "POST", "/", number)
		require.NoError(t, err)
		assert.Equal(t, number, body)
	}
	select {
	case err := <-long:
		assert.Fail(t, "the long job is over", "%v", err)
	default:
	}
	leave()
	assert.ErrorIs(t, <-long, context.Canceled)
}
