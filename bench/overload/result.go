//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/butterfly-zmq/butterfly/bench/internal/httpload"
)

// result is what was measured of a service.
type result struct {
	Service   string           `json:"service"`
	Sustained float64          `json:"sustained"` // good answers a second at most
	Before    *httpload.Report `json:"before"`    // half of that
	Over      *httpload.Report `json:"over"`      // ten times that
	After     *httpload.Report `json:"after"`     // half of that
	Memory    []memory         `json:"memory"`
}

// goodput is the share of what can be done that was done under the overload.
func (r *result) goodput() float64 { return perSecond(r.Over) / r.Sustained }

// The targets.
const (
	leastGoodput = 0.9
	// perConn is the memory that a connection may take whose request waits, or is
	// refused, in all processes together, and base what they take besides: the
	// bound in docs/operations.md.
	perConn = 64 << 10
	base    = 64 << 20
)

// mostUnsent is the share of the requests that were due and may have been left
// unsent: with more, the load was not what the result says it was.
const mostUnsent = 0.01

// lagged returns why nothing follows from an overload: the generator did not send
// what was due. It is nil if it did.
func lagged(over *httpload.Report) error {
	due := over.Requests + over.Unsent
	if float64(over.Unsent) <= mostUnsent*float64(due) {
		return nil
	}
	return fmt.Errorf("no result: the generator did not send %d of %d requests that were due (%.1f %%, at most %.0f %% may be): "+
		"the machine is too slow or too busy for %.0f a second, take a smaller --factor or --slots",
		over.Unsent, due, 100*float64(over.Unsent)/float64(due), 100*mostUnsent, over.Rate)
}

// check says which targets were missed.
func (r *result) check(o *options) error {
	var errs []error
	miss := func(missed bool, format string, args ...any) {
		if missed {
			errs = append(errs, fmt.Errorf("%s: "+format, append([]any{r.Service}, args...)...))
		}
	}
	miss(r.goodput() < leastGoodput, "under overload %.0f requests a second were done, %.0f %% of %.0f: want %.0f %%",
		perSecond(r.Over), 100*r.goodput(), r.Sustained, 100*leastGoodput)
	miss(r.Over.Statuses["503"] == 0, "nothing was refused")
	miss(r.Over.Retries < r.Over.Statuses["503"], "%d of %d refusals do not say when to try again",
		r.Over.Statuses["503"]-r.Over.Retries, r.Over.Statuses["503"])
	miss(others(r.Over, "200", "503", "504") > 0 || failures(r.Over) > 0, "answers %v, failures %v", r.Over.Statuses, r.Over.Failures)
	latest := float64((o.timeout + 500*time.Millisecond).Microseconds())
	miss(r.Over.GoodLatency.Max > latest, "an answer came after %.0f ms", r.Over.GoodLatency.Max/1e3)
	for _, m := range r.Memory {
		bound := (base + perConn*float64(r.Over.Connections)) / (1 << 20)
		miss(m.Most > bound, "%s held %.0f MiB, more than %.0f", m.Name, m.Most, bound)
	}
	miss(r.After.Good() != r.After.Requests, "afterwards not all is answered: %v, failures %v", r.After.Statuses, r.After.Failures)
	miss(r.After.Latency.P99 > 2*r.Before.Latency.P99+20e3, "afterwards 99 %% are answered within %.0f ms, before within %.0f",
		r.After.Latency.P99/1e3, r.Before.Latency.P99/1e3)
	return errors.Join(errs...)
}

// write prints the results as tables.
func write(w io.Writer, results []*result) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "service\tbears/s\tsent/s\tdone/s\tof what it bears\t503/s\t504/s\tother\tp50\tp99\tmax ms\tunsent")
	for _, r := range results {
		o := r.Over
		fmt.Fprintf(table, "%s\t%.0f\t%.0f\t%.0f\t%.0f %%\t%.0f\t%.1f\t%d\t%.0f\t%.0f\t%.0f\t%d\n",
			r.Service, r.Sustained, float64(o.Requests)/o.Seconds, perSecond(o), 100*r.goodput(),
			float64(o.Statuses["503"])/o.Seconds, float64(o.Statuses["504"])/o.Seconds,
			others(o, "200", "503", "504")+failures(o),
			o.GoodLatency.P50/1e3, o.GoodLatency.P99/1e3, o.GoodLatency.Max/1e3, o.Unsent)
	}
	fmt.Fprintln(table, "\nhalf of what it bears\tbefore: p50\tp99\tnot 200\tafterwards: p50\tp99 ms\tnot 200")
	for _, r := range results {
		fmt.Fprintf(table, "%s\t%.1f\t%.1f\t%d\t%.1f\t%.1f\t%d\n", r.Service,
			r.Before.Latency.P50/1e3, r.Before.Latency.P99/1e3, r.Before.Requests-r.Before.Good(),
			r.After.Latency.P50/1e3, r.After.Latency.P99/1e3, r.After.Requests-r.After.Good())
	}
	fmt.Fprintln(table, "\nmemory\tprocess\tbefore\tmost MiB\tconnections")
	for _, r := range results {
		for _, m := range r.Memory {
			fmt.Fprintf(table, "%s\t%s\t%.0f\t%.0f\t%d\n", r.Service, m.Name, m.First, m.Most, r.Over.Connections)
		}
	}
	return table.Flush()
}
