package primes_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/examples/primes"
	"github.com/butterfly-zmq/butterfly/httpfront"
	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
	"github.com/butterfly-zmq/butterfly/pipeline/daemon"
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

// stages are those of a pipeline with one worker each.
func stages(of []daemon.Stage, workers map[string]pipeline.Handler) (all []cluster.Stage) {
	for _, s := range of {
		all = append(all, cluster.Stage{Name: s.Name, Handler: workers[s.Worker], Slots: 1, Next: s.Next})
	}
	return all
}

// serve runs a whole pipeline for the test.
func serve(t *testing.T, of []cluster.Stage) *cluster.Whole {
	w, err := cluster.NewWhole(cluster.WholeConfig{Stages: of, HTTP: httpfront.Config{Listen: "127.0.0.1:0"}})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-done)
	})
	<-w.Ready()
	return w
}

func ask(t *testing.T, w *cluster.Whole, number string) (status int, body string) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get(fmt.Sprintf("http://%s/is_prime?possible_prime=%s", w.Addr(), number))
	require.NoError(t, err)
	defer func() { _ = r.Body.Close() }()
	got, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return r.StatusCode, string(got)
}

func TestBothPipelinesAnswerTheSame(t *testing.T) {
	workers := primes.Workers()
	workers["primes.slice"] = shortest
	whole, sliced := serve(t, stages(primes.Stages(), workers)), serve(t, stages(primes.SlicedStages(), workers))
	for _, number := range []string{"0", "3", "4", "10403", "1000000007", "99999820000081", "18446744073709551615", "007", "", "-1", "x"} {
		status, body := ask(t, whole, number)
		gotStatus, gotBody := ask(t, sliced, number)
		assert.Equal(t, status, gotStatus, number)
		assert.Equal(t, body, gotBody, number)
	}
	assert.Greater(t, sliced.Stats()[1].Jobs, uint64(2442), "the job of 99999820000081 alone came that often")
}

// The long job has billions of divisions to go when the short ones are answered
// by the only worker.
func TestAShortJobPassesALongOne(t *testing.T) {
	bench, err := cluster.NewBench(stages(primes.SlicedStages(), primes.Workers()), nil)
	require.NoError(t, err)
	request := func(number string) []byte {
		return []byte("GET /is_prime?possible_prime=" + number + " HTTP/1.1\r\n\r\n")
	}
	require.NoError(t, bench.Run(t.Context(), func(ctx context.Context) error {
		leaving, leave := context.WithCancel(ctx)
		long := make(chan error, 1)
		go func() {
			_, err := bench.Do(leaving, request("18446744073709551557"))
			long <- err
		}()
		require.Eventually(t, func() bool { return bench.Stats()[1].Jobs > 0 }, time.Minute, time.Millisecond)
		for _, number := range []string{"97", "1000000007"} {
			answer, err := bench.Do(ctx, request(number))
			require.NoError(t, err)
			assert.True(t, bytes.HasSuffix(answer.Bytes(), []byte("\r\n\r\n"+number)), "%s", answer.Bytes())
		}
		select {
		case err := <-long:
			assert.Fail(t, "the long job is over", "%v", err)
		default:
		}
		leave()
		assert.ErrorIs(t, <-long, context.Canceled)
		return nil
	}))
}
