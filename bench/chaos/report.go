//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/butterfly-zmq/butterfly/bench/internal/clients"
)

// report is what a deployment was put through, and how it stood that.
type report struct {
	Scheme   string                  `json:"scheme"`
	Seed     uint64                  `json:"seed"`
	Requests map[string]int          `json:"requests"`
	Statuses map[string]map[int]int  `json:"answers"`
	Verdicts map[clients.Verdict]int `json:"verdicts"`

	Lost   int `json:"lost"`
	Double int `json:"double"`
	Wrong  int `json:"wrong"`
	Late   int `json:"late"`

	// Longest is the longest wait for an answer, Deadline what the fronts were
	// told, both in seconds.
	Longest   float64 `json:"longest_wait_s"`
	Deadline  float64 `json:"deadline_s"`
	Recovered float64 `json:"recovered_after_s"`
	// Repeats counts visits of stages that were made again, where they may be.
	Repeats int `json:"repeated_visits"`
	// Stalled is for how many seconds the machine gave nobody time to run.
	Stalled float64 `json:"machine_stalled_s"`
	// Unreachable counts connections that no front accepted.
	Unreachable int            `json:"connections_refused"`
	Faults      map[string]int `json:"faults"`
	Problems    []string       `json:"problems"`
	Kept        string         `json:"kept,omitempty"` // where the logs are
}

// take fills in what the ledger says.
func (r *report) take(l *clients.Ledger, o *options) {
	r.Requests, r.Statuses, r.Verdicts = l.Requests, l.Statuses, l.Verdicts
	r.Lost, r.Double, r.Wrong, r.Late = l.Verdicts[clients.Lost], l.Verdicts[clients.Double], l.Verdicts[clients.Wrong], l.Verdicts[clients.Late]
	r.Longest, r.Deadline = l.Longest.Seconds(), o.timeout.Seconds()
	r.Unreachable, r.Problems = l.Refusals, l.Problems
	if r.Problems == nil {
		r.Problems = []string{}
	}
}

// printReports writes the reports for people, or as JSON.
func printReports(out io.Writer, o *options, reports []*report) error {
	if o.json {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(reports)
	}
	for _, r := range reports {
		if _, err := io.WriteString(out, r.text()); err != nil {
			return err
		}
	}
	return nil
}

func (r *report) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, seed %d\n", r.Scheme, r.Seed)
	for _, method := range slices.Sorted(maps.Keys(r.Requests)) {
		fmt.Fprintf(&b, "  %-5s %6d sent, answered %s\n", method, r.Requests[method], counts(r.Statuses[method]))
	}
	fmt.Fprintf(&b, "  verdicts  %s\n", counts(r.Verdicts))
	fmt.Fprintf(&b, "  lost %d, double %d, wrong %d, late %d\n", r.Lost, r.Double, r.Wrong, r.Late)
	fmt.Fprintf(&b, "  longest wait %.2f s of %.2f s; visits repeated where they may be: %d; connections refused: %d\n", r.Longest, r.Deadline, r.Repeats, r.Unreachable)
	fmt.Fprintf(&b, "  faults    %s\n", counts(r.Faults))
	if r.Stalled > 0 {
		fmt.Fprintf(&b, "  the machine stood still for %.1f s: taken off\n", r.Stalled)
	}
	fmt.Fprintf(&b, "  ready again %.1f s behind the last fault\n", r.Recovered)
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "  BROKEN: %s\n", p)
	}
	if r.Kept != "" {
		fmt.Fprintf(&b, "  logs are in %s; --seed %d does the same again\n", r.Kept, r.Seed)
	}
	return b.String()
}

// counts writes how often what was, in the order of its names.
func counts[K interface{ ~string | ~int }](m map[K]int) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if m[k] > 0 {
			parts = append(parts, fmt.Sprintf("%v: %d", k, m[k]))
		}
	}
	return strings.Join(parts, ", ")
}
