package latency

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEmptyHistogramAnswersZero(t *testing.T) {
	var h Histogram
	assert.Zero(t, h.Count())
	assert.Zero(t, h.Max())
	assert.Zero(t, h.Quantile(0.99))
}

func TestBucketsFollowOneAnotherWithoutGapOrOverlap(t *testing.T) {
	last := len(Histogram{}.counts) - 1
	for i := range last {
		end := upper(i)
		require.Equal(t, i, bucket(end), "the end of bucket %d", i)
		require.Equal(t, i+1, bucket(end+1), "the start of bucket %d", i+1)
	}
	assert.Equal(t, last, bucket(limit))
	assert.Equal(t, last, bucket(math.MaxInt64))
}

func TestQuantileErrsUpwardsByOnePartIn64(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var h Histogram
	all := make([]time.Duration, 10_000)
	for i := range all {
		all[i] = time.Duration(math.Exp(random.Float64() * 25)) // 1 ns to 72 s
		h.Record(all[i])
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.001, 0.5, 0.9, 0.99, 0.999, 1} {
		exact := all[max(int(math.Ceil(q*float64(len(all))))-1, 0)]
		got := h.Quantile(q)
		assert.GreaterOrEqual(t, got, exact, "quantile %v", q)
		assert.LessOrEqual(t, float64(got), float64(exact)*(1+1.0/64), "quantile %v", q)
	}
	assert.Equal(t, all[len(all)-1], h.Max())
	assert.Equal(t, h.Max(), h.Quantile(1))
}

func TestExtremesAreClampedButMaxIsExact(t *testing.T) {
	var h Histogram
	h.Record(-time.Second)
	assert.Equal(t, time.Duration(0), h.Quantile(1))
	h.Record(48 * time.Hour)
	assert.Equal(t, 48*time.Hour, h.Max())
	assert.Equal(t, 48*time.Hour, h.Quantile(1), "the last bucket is open: Max bounds it")
}

func TestAddEqualsRecordingEverythingInOne(t *testing.T) {
	var left, right, both Histogram
	for i := range 1000 {
		d := time.Duration(i * i * 1000)
		both.Record(d)
		if i%3 == 0 {
			left.Record(d)
		} else {
			right.Record(d)
		}
	}
	left.Add(&right)
	assert.Equal(t, both, left)
}

func TestRecordAllocatesNothing(t *testing.T) {
	var h Histogram
	assert.Zero(t, testing.AllocsPerRun(100, func() { h.Record(time.Millisecond) }))
}
