// Package stats counts durations on hot paths: without locks, allocations, or a
// metrics library. Who serves metrics reads them.
package stats

import (
	"sync/atomic"
	"time"
)

// bounds are the upper bounds of the buckets, each included. There is one more
// bucket, for what is longer.
var bounds = [...]time.Duration{
	25 * time.Microsecond, 100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second,
	10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute,
}

const buckets = len(bounds) + 1

// Bounds returns the upper bounds of all buckets but the last, which has none.
func Bounds() []time.Duration { return bounds[:] }

// bucketOf returns the bucket of a duration. Most are short, and found at once.
func bucketOf(d time.Duration) int {
	i := 0
	for i < len(bounds) && d > bounds[i] {
		i++
	}
	return i
}

// Distribution is how long things took. Its zero value is empty. It is a plain
// value: its owner serializes the calls.
type Distribution struct {
	Counts [buckets]uint64 // by bucket, each on its own
	Sum    time.Duration
}

// Observe counts a duration; a negative one counts as 0.
func (d *Distribution) Observe(took time.Duration) {
	took = max(took, 0)
	d.Counts[bucketOf(took)]++
	d.Sum += took
}

// Count returns how many durations were counted.
func (d *Distribution) Count() (n uint64) {
	for _, c := range d.Counts {
		n += c
	}
	return n
}

// Durations is a Distribution that is safe for concurrent use. Its zero value is
// empty; it must not be copied.
type Durations struct {
	counts [buckets]atomic.Uint64
	sum    atomic.Int64
}

// Observe counts a duration; a negative one counts as 0.
func (d *Durations) Observe(took time.Duration) {
	took = max(took, 0)
	d.counts[bucketOf(took)].Add(1)
	d.sum.Add(int64(took))
}

// Read returns what was counted. What is counted meanwhile may be in the counts
// and not in the sum yet.
func (d *Durations) Read() (r Distribution) {
	for i := range d.counts {
		r.Counts[i] = d.counts[i].Load()
	}
	r.Sum = time.Duration(d.sum.Load())
	return r
}
