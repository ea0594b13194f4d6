package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/bench/internal/httpload"
)

// rounds makes reports of the given requests a second.
func rounds(perSecond ...float64) (reports []*httpload.Report) {
	for _, n := range perSecond {
		reports = append(reports, &httpload.Report{PerSecond: n, Latency: httpload.Latencies{P50: 1e6 / n, P99: 2e6 / n}})
	}
	return reports
}

func TestRatiosAreTakenRoundByRound(t *testing.T) {
	// In the second round something slowed both to a tenth: the ratio stays.
	deployed := []*deployment{
		{contestant: contestant{name: "bare"}, headers: []string{"A: b", "Server: x"}},
		{contestant: contestant{name: "piped", bare: "bare", target: 0.5}, headers: []string{"A: b", "Server: y"}},
		{contestant: contestant{name: "slow", bare: "bare", target: 0.5}, headers: []string{"A: b", "Server: x"}},
	}
	results := judge(deployed, [][]*httpload.Report{
		rounds(1000, 100, 1200), rounds(600, 60, 720), rounds(100, 60, 120),
	})
	assert.InDelta(t, 0.6, results[1].Ratio, 1e-9)
	assert.False(t, results[1].Missed)
	assert.InDelta(t, 600, results[1].PerSecond, 1e-9)
	assert.Equal(t, "lacks Server: x; adds Server: y", results[1].Unlike)
	assert.InDelta(t, 0.1, results[2].Ratio, 1e-9)
	assert.True(t, results[2].Missed)
	assert.Empty(t, results[2].Unlike)

	var text strings.Builder
	require.NoError(t, table(&text, results))
	assert.Equal(t, strings.TrimLeft(`
  contestant                            requests/s  least  most  p50 ms  p99 ms  ratio  target  verdict
  bare                                        1000    100  1200    1.00    2.00      -       -        -
  piped                                        600     60   720    1.67    3.33   0.60    0.50       ok
  slow                                         100     60   120   10.00   20.00   0.10    0.50   missed
piped answers unlike bare: lacks Server: x; adds Server: y
`, "\n"), text.String())
}

func TestARatioToNothingIsMissed(t *testing.T) {
	deployed := []*deployment{
		{contestant: contestant{name: "bare"}},
		{contestant: contestant{name: "piped", bare: "bare", target: 0.5}},
	}
	assert.True(t, judge(deployed, [][]*httpload.Report{rounds(0), rounds(0)})[1].Missed)
}

func TestMedian(t *testing.T) {
	for want, values := range map[float64][]float64{
		3:   {3},
		2.5: {4, 1, 2, 3},
		2:   {9, 1, 2},
	} {
		assert.InDelta(t, want, median(values), 1e-9)
	}
}

func TestMemoryIsFlatWithinATenthEitherWay(t *testing.T) {
	for name, c := range map[string]struct {
		resident, heap []int64
		missed         bool
	}{
		"flat":                  {[]int64{100, 120, 101, 99, 100, 109}, []int64{1, 1, 1, 1, 2, 2}, false},
		"grows":                 {[]int64{100, 104, 108, 112, 116, 120}, []int64{1, 1, 1, 1, 1, 1}, true},
		"shrinks":               {[]int64{120, 116, 112, 108, 104, 100}, []int64{1, 1, 1, 1, 1, 1}, true},
		"one reading runs off":  {[]int64{100, 100, 100, 100, 100, 300, 100, 100, 100}, []int64{1, 1, 1, 1, 1, 1, 1, 1, 1}, false},
		"the heap grows inside": {[]int64{100, 100, 100, 100, 100, 100}, []int64{10, 10, 11, 12, 13, 13}, true},
	} {
		f := footprint{Resident: c.resident, Heap: c.heap}
		f.judge()
		assert.Equal(t, c.missed, f.Missed, name)

		control := footprint{Resident: c.resident, Heap: c.heap, Control: true}
		control.judge()
		assert.False(t, control.Missed, name)
		assert.Equal(t, "-", control.verdict())
	}
}
