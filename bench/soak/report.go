//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/butterfly-zmq/butterfly/bench/internal/clients"
)

// report is what the service was put through, and what its processes hold.
type report struct {
	Scheme   string                  `json:"scheme"`
	Seed     uint64                  `json:"seed"`
	Statuses map[string]map[int]int  `json:"answers"`
	Verdicts map[clients.Verdict]int `json:"verdicts"`
	Idle     []found                 `json:"idle"` // before the first wave
	Now      []found                 `json:"last"` // behind the last
	// Settled is the longest time, in seconds, until all processes were idle.
	Settled  float64  `json:"settled_after_s"`
	Problems []string `json:"problems"`
}

// print writes the report for people, or as JSON.
func (r *report) print(out io.Writer, o *options) error {
	if o.json {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	fmt.Fprintf(out, "%s, seed %d\n", r.Scheme, r.Seed)
	for _, method := range slices.Sorted(maps.Keys(r.Statuses)) {
		fmt.Fprintf(out, "  %-5s %v\n", method, r.Statuses[method])
	}
	fmt.Fprintf(out, "  verdicts %v; idle again after %.1f s at most\n", r.Verdicts, r.Settled)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "process\tgoroutines\tdescriptors\theap MiB\tthreads\tresident MiB\t")
	for _, f := range r.Now {
		i := slices.IndexFunc(r.Idle, func(idle found) bool { return idle.Name == f.Name })
		if i < 0 {
			continue
		}
		idle, now := r.Idle[i].Reading, f.Reading
		fmt.Fprintf(w, "%s\t%d → %d\t%d → %d\t%.1f → %.1f\t%d → %d\t%.0f → %.0f\t\n", f.Name, idle.Goroutines, now.Goroutines,
			idle.Descriptors, now.Descriptors, idle.HeapMiB, now.HeapMiB, idle.Threads, now.Threads, idle.ResidentMiB, now.ResidentMiB)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, p := range r.Problems {
		if _, err := fmt.Fprintf(out, "  BROKEN: %s\n", p); err != nil {
			return err
		}
	}
	return nil
}
