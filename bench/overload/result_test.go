//go:build linux

package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/bench/internal/httpload"
)

// calmly returns a result that is sound and keeps all promises, with the options it
// was measured by.
func calmly(t *testing.T) (*result, service, *options) {
	o, err := parse(nil, nil)
	require.NoError(t, err)
	half := func() *httpload.Report {
		return &httpload.Report{Requests: 400, Statuses: map[string]int64{"200": 400}, Latency: httpload.Latencies{P99: 54e3}}
	}
	return &result{
		Service: "s", Full: &httpload.Report{GoodPerSecond: 160}, Again: &httpload.Report{GoodPerSecond: 158},
		Before: half(), After: half(),
		Over: &httpload.Report{
			Rate: 1600, Requests: 9900, Unsent: 100, GoodPerSecond: 150, Retries: 8999,
			Statuses: map[string]int64{"200": 900, "503": 8999, "504": 1},
		},
		Memory: []memory{{"front", 40, 41}},
	}, service{wait, overIPC}, o
}

func TestAResultIsJudged(t *testing.T) {
	r, s, o := calmly(t)
	require.NoError(t, r.check(s, o))
	require.NoError(t, r.prompt(s, o))
	for what, c := range map[string]struct {
		spoil func(r *result)
		want  string
	}{
		"goodput":  {func(r *result) { r.Over.GoodPerSecond = 143 }, "143 requests a second were done, 89 % of 160: want 90 %"},
		"idle":     {func(r *result) { delete(r.Over.Statuses, "503") }, "nothing was refused"},
		"dead":     {func(r *result) { delete(r.Over.Statuses, "200") }, "nothing was done"},
		"retry":    {func(r *result) { r.Over.Retries-- }, "1 of 8999 refusals do not say"},
		"status":   {func(r *result) { r.Over.Statuses["500"] = 1 }, "500:1"},
		"failure":  {func(r *result) { r.Over.Failures = map[httpload.Kind]httpload.Failure{"closed": {Count: 1}} }, "closed"},
		"memory":   {func(r *result) { r.Memory[0].Peak = 42 }, "front held 42 MiB, more than 41"},
		"after":    {func(r *result) { r.After.Requests++ }, "afterwards not all is answered"},
		"stuck":    {func(r *result) { delete(r.After.Statuses, "200") }, "afterwards answers map[]"},
		"lost":     {func(r *result) { r.After.Failures = map[httpload.Kind]httpload.Failure{"timeout": {Count: 1}} }, "timeout"},
		"deadlock": {func(r *result) { r.Left = map[string]float64{"front pending": 2} }, "afterwards something is left: map[front pending:2]"},
		"late":     {func(r *result) { r.Over.GoodLatency.Max = 1.6e6 }, "an answer came after 1600 ms"},
		"slow":     {func(r *result) { r.After.Latency.P99 = 129e3 }, "within 129 ms, before within 54"},
	} {
		t.Run(what, func(t *testing.T) {
			r, s, o := calmly(t)
			c.spoil(r)
			err := r.check(s, o)
			if err == nil {
				err = r.prompt(s, o)
			}
			require.ErrorContains(t, err, c.want)
			assert.NotErrorIs(t, err, errNoResult)
		})
	}
}

// A load that was not sent, or a machine with other things to do, lets nothing be
// said of the goodput; the other promises hold nonetheless.
func TestADisturbedOverloadIsNoResult(t *testing.T) {
	for want, spoil := range map[string]func(r *result){
		"101 of 10001":                         func(r *result) { r.Over.Unsent = 101 },
		"took 6 %":                             func(r *result) { r.Others = 0.06 },
		"160 requests a second before and 143": func(r *result) { r.Again.GoodPerSecond = 143 },
	} {
		r, s, o := calmly(t)
		spoil(r)
		r.Over.GoodPerSecond = 1
		err := r.check(s, o)
		require.ErrorIs(t, err, errNoResult)
		require.ErrorContains(t, err, want)
		require.NoError(t, r.holds(s, o))
	}
}

func TestTheOverloadLastsManyJobs(t *testing.T) {
	o, err := parse([]string{"--duration", "800ms", "--jobs", "50"}, nil)
	require.NoError(t, err)
	assert.Equal(t, 800*time.Millisecond, o.overload(100))
	assert.Equal(t, 5*time.Second, o.overload(10))
}
