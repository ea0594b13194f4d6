package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"

	"github.com/butterfly-zmq/butterfly/bench/internal/httpload"
	"github.com/butterfly-zmq/butterfly/bench/internal/latency"
	"github.com/butterfly-zmq/butterfly/bench/internal/ticks"
)

// errMissed is a target not reached with --check.
var errMissed = errors.New("a target was missed")

// The targets: what the sliced pipeline's cheap requests may wait, and how far
// its throughput may be from that of the unsliced one.
const (
	targetP99  = 8e3 // microseconds
	sameWithin = 0.10
)

// result is what all rounds say about one server.
type result struct {
	Name  string  `json:"name"`
	Cheap figures `json:"cheap"`
	Heavy figures `json:"heavy"`
	// Others is the largest share of the processors that other programs took in
	// a round, -1 if it is not known.
	Others float64 `json:"others"`
}

// figures are those of one kind of request.
type figures struct {
	// PerSecond counts right answers within the measured time.
	PerSecond float64 `json:"answers_per_second"`
	// Latency is that of all rounds together, each from when the request was due.
	Latency httpload.Latencies `json:"latency_us"`
	// P99 are the rounds' own, which says how much they differ.
	P99 []float64 `json:"p99_us_of_rounds"`
	// Waited requests found no free connection; Unsent ones never did.
	Waited int64 `json:"waited"`
	Unsent int64 `json:"unsent"`
}

// summarize puts the rounds of one server together.
func summarize(name string, rounds []sample) result {
	r := result{Name: name, Others: ticks.Unknown}
	var cheap, heavy []*httpload.Report
	for _, s := range rounds {
		cheap, heavy = append(cheap, s.cheap), append(heavy, s.heavy)
		r.Others = max(r.Others, s.others)
	}
	r.Cheap, r.Heavy = together(cheap), together(heavy)
	return r
}

func together(rounds []*httpload.Report) (f figures) {
	var all latency.Histogram
	seconds := 0.0
	for _, r := range rounds {
		all.Add(r.Measured)
		f.P99 = append(f.P99, r.Latency.P99)
		f.PerSecond += r.PerSecond * r.Seconds
		seconds += r.Seconds
		f.Waited += r.Waited
		f.Unsent += r.Unsent
	}
	f.PerSecond /= seconds
	f.Latency = httpload.Percentiles(&all)
	return f
}

// verdict compares the sliced pipeline with its targets.
type verdict struct {
	TargetP99 float64  `json:"cheap_p99_us_at_most"`
	Within    float64  `json:"throughput_within"`
	Missed    []string `json:"missed"`
}

// judge compares the result named sliced with the one named unsliced.
func judge(results []result) verdict {
	v := verdict{TargetP99: targetP99, Within: sameWithin, Missed: []string{}}
	sliced, unsliced := named(results, "sliced"), named(results, "unsliced")
	if p99 := sliced.Cheap.Latency.P99; !(p99 <= targetP99) {
		v.Missed = append(v.Missed, fmt.Sprintf("cheap p99 %.2f ms, at most %.0f", p99/1e3, targetP99/1e3))
	}
	for _, kind := range []struct {
		name      string
		got, want figures
	}{{"cheap", sliced.Cheap, unsliced.Cheap}, {"heavy", sliced.Heavy, unsliced.Heavy}} {
		got, want := kind.got.PerSecond, kind.want.PerSecond
		if !(math.Abs(got-want) <= sameWithin*want) {
			v.Missed = append(v.Missed, fmt.Sprintf("%s %.2f/s, within %.0f %% of %.2f", kind.name, got, 100*sameWithin, want))
		}
	}
	return v
}

func named(results []result, name string) result {
	i := slices.IndexFunc(results, func(r result) bool { return r.Name == name })
	return results[i]
}

// print writes the results for people, or as JSON.
func (o *options) print(out io.Writer, results []result, v verdict) error {
	if !o.json {
		return table(out, results, v)
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		Results []result `json:"results"`
		Verdict verdict  `json:"verdict"`
	}{results, v})
}

// nameWidth keeps names to the left in a table whose figures stand to the right.
const nameWidth = 10

func table(out io.Writer, results []result, v verdict) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%-*s\tcheap/s\tp50 ms\tp99 ms\tof rounds\tp99.9 ms\tmax ms\theavy/s\tp50 ms\tp99 ms\twaited\tothers\t\n", nameWidth, "")
	for _, r := range results {
		c, h := r.Cheap, r.Heavy
		fmt.Fprintf(w, "%-*s\t%.1f\t%.2f\t%.2f\t%.2f–%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%d\t%s\t\n", nameWidth, r.Name,
			c.PerSecond, c.Latency.P50/1e3, c.Latency.P99/1e3, slices.Min(c.P99)/1e3, slices.Max(c.P99)/1e3,
			c.Latency.P999/1e3, c.Latency.Max/1e3, h.PerSecond, h.Latency.P50/1e3, h.Latency.P99/1e3, c.Waited+h.Waited, percent(r.Others))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, missed := range v.Missed {
		if _, err := fmt.Fprintf(out, "missed: sliced: %s\n", missed); err != nil {
			return err
		}
	}
	return nil
}

func percent(share float64) string {
	if share == ticks.Unknown {
		return "?"
	}
	return fmt.Sprintf("%.0f %%", 100*share)
}
