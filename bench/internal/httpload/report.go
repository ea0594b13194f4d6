package httpload

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/butterfly-zmq/butterfly/bench/internal/latency"
)

// Report is what a run measured.
type Report struct {
	URL         string  `json:"url"`
	Connections int     `json:"connections"`
	Rate        float64 `json:"rate,omitempty"` // of an open loop
	Seconds     float64 `json:"seconds"`        // measured, the warm-up left out
	// Requests counts the answers, of any status, and the failures.
	Requests int64 `json:"requests"`
	// PerSecond counts only answers with the expected body that came within
	// Seconds: failures are no throughput.
	PerSecond float64 `json:"requests_per_second"`
	// GoodPerSecond counts the answers with status 200 and the expected body by
	// when they came, not by when their requests were due: what was done within
	// Seconds, without what was still to do at their end.
	GoodPerSecond float64 `json:"good_per_second"`
	// Statuses counts the answers by status.
	Statuses map[string]int64 `json:"statuses"`
	Failures map[Kind]Failure `json:"failures,omitempty"`
	// Unsent requests of an open loop were due, but no connection was free
	// before the end. They count in the percentiles with the time they waited.
	Unsent int64 `json:"unsent,omitempty"`
	// Waited counts the requests of an open loop that found no free connection
	// when they were due: more connections would have sent them earlier.
	Waited  int64     `json:"waited,omitempty"`
	Redials int64     `json:"redials,omitempty"`
	Latency Latencies `json:"latency_us"`
	// GoodLatency is that of the answers with status 200.
	GoodLatency Latencies `json:"good_latency_us"`
	// Retries counts the answers that say when to try again.
	Retries int64 `json:"retries,omitempty"`
	// Measured are the latencies themselves, to be put together with those of
	// other runs.
	Measured *latency.Histogram `json:"-"`
}

// Latencies are percentiles in microseconds.
type Latencies struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// Percentiles reads a histogram.
func Percentiles(h *latency.Histogram) Latencies {
	return Latencies{
		P50: micros(h.Quantile(0.5)), P90: micros(h.Quantile(0.9)), P99: micros(h.Quantile(0.99)),
		P999: micros(h.Quantile(0.999)), Max: micros(h.Max()),
	}
}

// newReport sums up a run that ended at finish.
func newReport(c *Config, sum *tally, finish time.Duration) *Report {
	if c.Requests > 0 {
		finish = sum.last // not the client that waited for a timeout
	}
	r := &Report{
		URL: c.URL, Connections: c.Connections, Rate: c.Rate,
		Seconds:  max(finish-c.Warmup, 0).Seconds(),
		Statuses: map[string]int64{}, Failures: sum.failures,
		Unsent: sum.unsent, Redials: sum.redials, Measured: &sum.latency,
		Latency: Percentiles(&sum.latency), Retries: sum.retries,
	}
	if sum.good != nil {
		r.GoodLatency = Percentiles(sum.good)
	}
	for status, n := range sum.statuses {
		if n > 0 {
			r.Statuses[strconv.Itoa(status)] = n
			r.Requests += n
		}
	}
	if r.Seconds > 0 {
		r.PerSecond = float64(r.Requests-sum.late) / r.Seconds
		r.GoodPerSecond = float64(sum.within) / r.Seconds
	}
	for _, failure := range sum.failures {
		r.Requests += failure.Count
	}
	return r
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// Good returns how many requests were answered with status 200 and the
// expected body.
func (r *Report) Good() int64 { return r.Statuses["200"] }

// Write prints the report for people.
func (r *Report) Write(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "requests/s\t%.0f\n", r.PerSecond)
	fmt.Fprintf(table, "requests\t%d in %.2f s over %d connections\n", r.Requests, r.Seconds, r.Connections)
	l := r.Latency
	fmt.Fprintf(table, "latency\tp50 %s  p90 %s  p99 %s  p99.9 %s  max %s\n",
		pretty(l.P50), pretty(l.P90), pretty(l.P99), pretty(l.P999), pretty(l.Max))
	for _, status := range slices.Sorted(maps.Keys(r.Statuses)) {
		fmt.Fprintf(table, "status %s\t%d\n", status, r.Statuses[status])
	}
	for _, kind := range slices.Sorted(maps.Keys(r.Failures)) {
		fmt.Fprintf(table, "failed: %s\t%d, first: %s\n", kind, r.Failures[kind].Count, r.Failures[kind].Example)
	}
	if r.Unsent > 0 {
		fmt.Fprintf(table, "unsent\t%d were due and found no free connection before the end\n", r.Unsent)
	}
	if r.Waited > 0 {
		fmt.Fprintf(table, "waited\t%d found no free connection when they were due\n", r.Waited)
	}
	if r.Redials > 0 {
		fmt.Fprintf(table, "redials\t%d\n", r.Redials)
	}
	return table.Flush()
}

// pretty prints microseconds with three digits and a unit.
func pretty(us float64) string {
	switch {
	case us < 1e3:
		return fmt.Sprintf("%.3g µs", us)
	case us < 1e6:
		return fmt.Sprintf("%.3g ms", us/1e3)
	}
	return fmt.Sprintf("%.3g s", us/1e6)
}
