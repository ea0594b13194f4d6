// Package latency counts durations in buckets whose width grows with their
// value, so that a percentile of any size costs a fixed few kilobytes and a
// known relative error.
package latency

import (
	"math"
	"math/bits"
	"time"
)

// Each power of two is cut into 1<<precision buckets: a bucket is at most 1/64
// of its value wide. Latencies are read to two digits; a finer cut would only
// spread the counters over more cache lines.
const precision = 6

// limit is the longest duration told apart, about 18 minutes in nanoseconds.
// Longer ones share the last bucket; Max still knows them.
const limit = 1<<40 - 1

// Histogram counts durations. The zero value is empty and ready. It has no
// lock: every goroutine fills its own, and Add gathers them.
type Histogram struct {
	counts [((40-precision-1)<<precision + 2<<precision)]uint64
	total  uint64
	max    time.Duration
}

// Record counts one duration; a negative one counts as zero.
func (h *Histogram) Record(d time.Duration) {
	d = max(d, 0)
	h.counts[bucket(d)]++
	h.total++
	h.max = max(h.max, d)
}

// Add counts everything that other has counted.
func (h *Histogram) Add(other *Histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
	h.max = max(h.max, other.max)
}

// Count returns how many durations were recorded.
func (h *Histogram) Count() uint64 { return h.total }

// Max returns the longest duration recorded, exactly; 0 when there is none.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile returns a duration that the fraction q of all recorded ones does not
// exceed. It errs upwards by at most one part in 64, never downwards; it is 0
// when nothing was recorded.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := uint64(math.Ceil(min(max(q, 0), 1) * float64(h.total)))
	seen := uint64(0)
	for i, n := range h.counts {
		seen += n
		if n > 0 && seen >= rank {
			return min(upper(i), h.max)
		}
	}
	return 0
}

// bucket returns the index of d's counter. Below 2<<precision a bucket is one
// nanosecond wide; above, the top precision+1 bits of d choose it.
func bucket(d time.Duration) int {
	v := uint64(min(d, limit))
	shift := max(bits.Len64(v)-precision-1, 0)
	return shift<<precision + int(v>>shift)
}

// upper returns the longest duration that falls into bucket i, except that the
// last bucket has no end.
func upper(i int) time.Duration {
	shift := max(i>>precision-1, 0)
	if i == len(Histogram{}.counts)-1 {
		return math.MaxInt64
	}
	return time.Duration(i-shift<<precision+1)<<shift - 1
}
