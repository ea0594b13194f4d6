package httpload

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// dues paces an open loop whose start is long past, so that nothing waits, and
// returns when its requests were due.
func dues(t *testing.T, c Config) (all []time.Duration) {
	s := newOpenLoop(&c)
	go s.pace(t.Context(), time.Now().Add(-time.Hour))
	for {
		due, more := s.next(t.Context(), 0)
		if !more {
			return all
		}
		all = append(all, due)
	}
}

func TestAnOpenLoopIsDueByItsRateAlone(t *testing.T) {
	const ms = time.Millisecond
	want := []time.Duration{0, 250 * ms, 500 * ms, 750 * ms}
	assert.Equal(t, want, dues(t, Config{Rate: 4, Duration: time.Second}))
	assert.Equal(t, want, dues(t, Config{Rate: 4, Requests: 4}))
	assert.Equal(t, want, dues(t, Config{Rate: 4, Requests: 2, Warmup: 500 * ms}), "the warm-up's two come on top")
	assert.Len(t, dues(t, Config{Rate: 1e6, Requests: 5000}), 5000, "more than are buffered")
}

func TestRandomGapsHaveTheirRateAndRepeatWithTheirSeed(t *testing.T) {
	c := Config{Rate: 100, Random: true, Seed: 7, Duration: 100 * time.Second}
	first := dues(t, c)
	assert.InDelta(t, 10_000, len(first), 400, "four standard deviations")
	assert.IsIncreasing(t, first)
	short := 0 // gaps below the mean: 1-1/e of exponential ones, half of even ones with some jitter
	for i := range first[1:] {
		if first[i+1]-first[i] < 10*time.Millisecond {
			short++
		}
	}
	assert.InDelta(t, 0.632, float64(short)/float64(len(first)), 0.02)
	assert.Equal(t, first, dues(t, c))
	c.Seed++
	assert.NotEqual(t, first, dues(t, c))
}

func TestRequestsThatFindNoFreeConnectionAreTold(t *testing.T) {
	c := Config{Rate: 2, Requests: 2, Warmup: time.Second}
	synctest.Test(t, func(t *testing.T) {
		free := newOpenLoop(&c)
		for range 4 {
			go func() { _, _ = free.next(t.Context(), 0) }()
		}
		synctest.Wait()
		free.pace(t.Context(), time.Now().Add(-time.Hour))
		assert.Zero(t, free.waited)
	})
	none := newOpenLoop(&c)
	none.pace(t.Context(), time.Now().Add(-time.Hour))
	assert.EqualValues(t, 2, none.waited, "without the warm-up's two")
}

func TestAnOpenLoopEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := newOpenLoop(&Config{Rate: 1, Duration: time.Hour})
	ended := make(chan struct{})
	go func() { defer close(ended); s.pace(ctx, time.Now()) }()
	due, more := s.next(ctx, 0)
	require.True(t, more)
	assert.Zero(t, due)
	cancel()
	<-ended
}

func TestAClosedLoopIsAlwaysDueUntilItsBound(t *testing.T) {
	ctx := t.Context()
	byTime := newClosedLoop(&Config{Duration: time.Second, Warmup: time.Second})
	for now, want := range map[time.Duration]bool{0: true, 2*time.Second - 1: true, 2 * time.Second: false} {
		due, more := byTime.next(ctx, now)
		assert.Equal(t, now, due)
		assert.Equal(t, want, more, "at %v", now)
	}
	byCount := newClosedLoop(&Config{Requests: 1, Warmup: time.Second})
	for _, step := range []struct {
		now  time.Duration
		want bool
	}{{0, true}, {0, true}, {time.Second, true}, {time.Second, false}} {
		_, more := byCount.next(ctx, step.now)
		assert.Equal(t, step.want, more)
	}
}

// once is a schedule of one request that has been due since the start.
type once struct{ spent bool }

func (o *once) next(context.Context, time.Duration) (time.Duration, bool) {
	defer func() { o.spent = true }()
	return 0, !o.spent
}

func TestALatencyBeginsWhenTheRequestWasDue(t *testing.T) {
	config := against(t, func(http.ResponseWriter, *http.Request) {})
	config.Rate = 1
	request, err := newRequest(&config)
	require.NoError(t, err)
	c := client{config: &config, request: request, schedule: &once{}, start: time.Now().Add(-time.Minute), end: time.Hour}
	c.run(t.Context())
	assert.EqualValues(t, 1, c.tally.statuses[200])
	assert.GreaterOrEqual(t, c.tally.latency.Max(), time.Minute)
}

func TestRequestsLeftOverAtTheEndAreToldAndWeighIn(t *testing.T) {
	config := usable()
	config.Rate = 1
	c := client{config: &config, schedule: &once{}, start: time.Now().Add(-time.Minute), end: time.Second}
	c.run(t.Context())
	report := newReport(&config, &c.tally, time.Second)
	assert.EqualValues(t, 1, report.Unsent)
	assert.Zero(t, report.Requests)
	assert.GreaterOrEqual(t, report.Latency.P50, 60e6)
}

func TestAnOpenLoopReachesItsRate(t *testing.T) {
	config := against(t, func(http.ResponseWriter, *http.Request) {})
	config.Rate, config.Requests = 2000, 100
	report := measure(t, config)
	assert.EqualValues(t, 100, report.Good())
	assert.GreaterOrEqual(t, report.Seconds, 99.0/2000, "the last one is due then")
}
