package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/butterfly-zmq/butterfly/bench/internal/httpload"
)

// result is what the rounds say about one contestant.
type result struct {
	Name string `json:"name"`
	// Rounds are the requests a second of each round, PerSecond their median.
	Rounds    []float64 `json:"rounds"`
	PerSecond float64   `json:"requests_per_second"`
	// P50 and P99 are medians of the rounds' percentiles, in microseconds.
	P50 float64 `json:"p50_us"`
	P99 float64 `json:"p99_us"`
	// Ratio to Bare is the median of the rounds' ratios: both were measured
	// within seconds, so that a busy neighbour slowed both.
	Bare   string  `json:"bare,omitempty"`
	Ratio  float64 `json:"ratio,omitempty"`
	Target float64 `json:"target,omitempty"`
	Missed bool    `json:"missed"`
	// Unlike says how the answer's header differs from the bare one's.
	Unlike string `json:"unlike,omitempty"`
}

// judge turns the reports of every round into results.
func judge(deployed []*deployment, samples [][]*httpload.Report) []result {
	results := make([]result, len(deployed))
	at := map[string]int{}
	for i, d := range deployed {
		at[d.name] = i
		r := result{
			Name: d.name, Bare: d.bare, Target: d.target,
			Rounds: each(samples[i], func(r *httpload.Report) float64 { return r.PerSecond }),
			P50:    median(each(samples[i], func(r *httpload.Report) float64 { return r.Latency.P50 })),
			P99:    median(each(samples[i], func(r *httpload.Report) float64 { return r.Latency.P99 })),
		}
		r.PerSecond = median(r.Rounds)
		if d.bare != "" {
			bare := at[d.bare] // a bare contestant stands before those compared with it
			r.Ratio = median(ratios(r.Rounds, results[bare].Rounds))
			r.Missed = !(r.Ratio >= r.Target)
			r.Unlike = unlike(deployed[bare].headers, d.headers)
		}
		results[i] = r
	}
	return results
}

func each(reports []*httpload.Report, value func(*httpload.Report) float64) []float64 {
	values := make([]float64, len(reports))
	for i, report := range reports {
		values[i] = value(report)
	}
	return values
}

func ratios(values, to []float64) []float64 {
	quotients := make([]float64, len(values))
	for i := range values {
		quotients[i] = values[i] / to[i]
	}
	return quotients
}

// median returns the middle of values, which are not empty and stay as they are.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// nameWidth keeps names to the left in tables whose figures stand to the right.
const nameWidth = 36

// table prints the results for people.
func table(out io.Writer, results []result) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%-*s\trequests/s\tleast\tmost\tp50 ms\tp99 ms\tratio\ttarget\tverdict\t\n", nameWidth, "contestant")
	for _, r := range results {
		fmt.Fprintf(w, "%-*s\t%.0f\t%.0f\t%.0f\t%.2f\t%.2f\t", nameWidth, r.Name, r.PerSecond,
			slices.Min(r.Rounds), slices.Max(r.Rounds), r.P50/1e3, r.P99/1e3)
		if r.Bare == "" {
			fmt.Fprintln(w, "-\t-\t-\t")
			continue
		}
		fmt.Fprintf(w, "%.2f\t%.2f\t%s\t\n", r.Ratio, r.Target, verdict(!r.Missed))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, r := range results {
		if r.Unlike != "" {
			if _, err := fmt.Fprintf(out, "%s answers unlike %s: %s\n", r.Name, r.Bare, r.Unlike); err != nil {
				return err
			}
		}
	}
	return nil
}

func verdict(good bool) string {
	if good {
		return "ok"
	}
	return "missed"
}
