package stats_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/butterfly-zmq/butterfly/internal/stats"
)

// A duration counts in the first bucket whose bound it does not exceed.
func TestDurationsFindTheirBucket(t *testing.T) {
	bounds := stats.Bounds()
	assert.True(t, slices.IsSorted(bounds))
	for i, b := range bounds {
		var d stats.Distribution
		d.Observe(b)
		d.Observe(b + 1)
		assert.EqualValues(t, 1, d.Counts[i], "%v is within its bound", b)
		assert.EqualValues(t, 1, d.Counts[i+1], "and a nanosecond more is not")
		assert.EqualValues(t, 2, d.Count())
		assert.Equal(t, 2*b+1, d.Sum)
	}
	var d stats.Distribution
	d.Observe(-time.Second)
	assert.EqualValues(t, 1, d.Counts[0])
	assert.Zero(t, d.Sum, "clocks do not take time back")
}

// Nothing is lost between goroutines, and nothing is allocated.
func TestDurationsAreCountedConcurrently(t *testing.T) {
	var d stats.Durations
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				d.Observe(time.Millisecond)
				d.Observe(time.Hour)
			}
		})
	}
	all.Wait()
	r := d.Read()
	assert.EqualValues(t, 16_000, r.Count())
	assert.EqualValues(t, 8000, r.Counts[len(r.Counts)-1])
	assert.Equal(t, 8000*(time.Hour+time.Millisecond), r.Sum)
	assert.Zero(t, testing.AllocsPerRun(100, func() { d.Observe(time.Second) }))
}

func BenchmarkObserve(b *testing.B) {
	var d stats.Durations
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			d.Observe(80 * time.Microsecond)
		}
	})
}
