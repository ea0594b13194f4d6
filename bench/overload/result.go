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
	Service string             `json:"service"`
	Full    *httpload.Report   `json:"full"`   // what it bears, before
	Before  *httpload.Report   `json:"before"` // half of that
	Over    *httpload.Report   `json:"over"`   // ten times that
	Others  float64            `json:"others"` // the share of the processors that other programs took in these two
	After   *httpload.Report   `json:"after"`  // half of it, at once
	Left    map[string]float64 `json:"left"`   // what its processes held afterwards
	Again   *httpload.Report   `json:"again"`  // what it bears, afterwards
	Memory  []memory           `json:"memory"`
}

// goodput is the share of what can be done that was done under the overload.
func (r *result) goodput() float64 { return r.Over.GoodPerSecond / r.bears() }

// bears returns how many requests a second the service answers well at most: the
// larger of what was measured before and behind.
func (r *result) bears() float64 { return max(r.Full.GoodPerSecond, r.Again.GoodPerSecond) }

// The targets, and what they need.
const (
	leastGoodput = 0.9
	// mostUnsent is the share of the requests that were due and may have been left
	// unsent: with more, the load was not what the result says it was.
	mostUnsent = 0.01
	// mostDrift is by how much what the service bears may differ before and behind:
	// with more, the machine was not the same.
	mostDrift = 0.1
	// mostOthers is the share of the processors that other programs may take.
	mostOthers = 0.05
)

// errNoResult says why nothing follows of the goodput.
var errNoResult = errors.New("no result")

// sound returns an errNoResult if nothing can be said of the goodput, since the
// load was not sent, or the machine had other things to do.
func (r *result) sound() error {
	over := r.Over
	due := over.Requests + over.Unsent
	if float64(over.Unsent) > mostUnsent*float64(due) {
		return fmt.Errorf("%s: %w: the generator did not send %d of %d requests that were due (%.1f %%, at most %.0f %% may be): "+
			"the machine is too slow or too busy for %.0f a second, take a smaller --factor or --slots",
			r.Service, errNoResult, over.Unsent, due, 100*float64(over.Unsent)/float64(due), 100*mostUnsent, over.Rate)
	}
	if r.Others > mostOthers {
		return fmt.Errorf("%s: %w: other programs took %.0f %% of the processors", r.Service, errNoResult, 100*r.Others)
	}
	if drift := r.Again.GoodPerSecond/r.Full.GoodPerSecond - 1; max(drift, -drift) > mostDrift {
		return fmt.Errorf("%s: %w: it bears %.0f requests a second before and %.0f behind the overload: "+
			"the machine is too busy", r.Service, errNoResult, r.Full.GoodPerSecond, r.Again.GoodPerSecond)
	}
	return nil
}

// check says which targets were missed, or why nothing is known of some of them.
func (r *result) check(s service, o *options) error {
	calm := r.sound()
	if calm == nil {
		calm = r.enough(leastGoodput)
	}
	return errors.Join(calm, r.holds(s, o))
}

// enough says what was missed by a service that had the machine to itself: on any
// other what it was measured to bear is not what it bears.
func (r *result) enough(goodput float64) error {
	var errs []error
	if r.goodput() < goodput {
		errs = append(errs, fmt.Errorf("%s: under overload %.0f requests a second were done, %.0f %% of %.0f: want %.0f %%",
			r.Service, r.Over.GoodPerSecond, 100*r.goodput(), r.bears(), 100*goodput))
	}
	if r.After.Good() != r.After.Requests {
		errs = append(errs, fmt.Errorf("%s: afterwards not all is answered: %v", r.Service, r.After.Statuses))
	}
	return errors.Join(errs...)
}

// holds says which of the promises were broken that hold on any machine, however
// busy it is.
func (r *result) holds(s service, o *options) error {
	var errs []error
	miss := func(missed bool, format string, args ...any) {
		if missed {
			errs = append(errs, fmt.Errorf("%s: "+format, append([]any{r.Service}, args...)...))
		}
	}
	miss(r.Over.Good() == 0, "nothing was done")
	miss(r.Over.Statuses["503"] == 0, "nothing was refused")
	miss(r.Over.Retries < r.Over.Statuses["503"], "%d of %d refusals do not say when to try again",
		r.Over.Statuses["503"]-r.Over.Retries, r.Over.Statuses["503"])
	miss(others(r.Over, "200", "503", "504") > 0 || failures(r.Over) > 0, "answers %v, failures %v", r.Over.Statuses, r.Over.Failures)
	for _, m := range r.Memory {
		miss(m.Peak > m.Bound, "%s held %.0f MiB, more than %.0f", m.Name, m.Peak, m.Bound)
	}
	miss(r.After.Good() == 0 || others(r.After, "200", "503", "504") > 0 || failures(r.After) > 0,
		"afterwards answers %v, failures %v", r.After.Statuses, r.After.Failures)
	miss(len(r.Left) > 0, "afterwards something is left: %v", r.Left)
	return errors.Join(errs...)
}

// prompt says which of the promises were broken that tell how long something
// takes: they want a calm machine.
func (r *result) prompt(s service, o *options) error {
	var errs []error
	if latest := s.timeout(o) + 500*time.Millisecond; r.Over.GoodLatency.Max > float64(latest.Microseconds()) {
		errs = append(errs, fmt.Errorf("%s: an answer came after %.0f ms", r.Service, r.Over.GoodLatency.Max/1e3))
	}
	if r.After.Latency.P99 > 2*r.Before.Latency.P99+20e3 {
		errs = append(errs, fmt.Errorf("%s: afterwards 99 %% are answered within %.0f ms, before within %.0f",
			r.Service, r.After.Latency.P99/1e3, r.Before.Latency.P99/1e3))
	}
	return errors.Join(errs...)
}

// write prints the results as tables.
func write(w io.Writer, results []*result) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "service\tbears/s\tbehind\tsent/s\tdone/s\tof what it bears\t503/s\t504/s\tother\tp50\tp99\tmax ms\tunsent\tothers")
	for _, r := range results {
		o := r.Over
		fmt.Fprintf(table, "%s\t%.1f\t%.1f\t%.0f\t%.1f\t%.0f %%\t%.0f\t%.1f\t%d\t%.0f\t%.0f\t%.0f\t%d\t%.0f %%\n",
			r.Service, r.Full.GoodPerSecond, r.Again.GoodPerSecond, float64(o.Requests)/o.Seconds, o.GoodPerSecond, 100*r.goodput(),
			float64(o.Statuses["503"])/o.Seconds, float64(o.Statuses["504"])/o.Seconds,
			others(o, "200", "503", "504")+failures(o),
			o.GoodLatency.P50/1e3, o.GoodLatency.P99/1e3, o.GoodLatency.Max/1e3, o.Unsent, 100*r.Others)
	}
	fmt.Fprintln(table, "\nhalf of what it bears\tbefore: p50\tp99\tnot 200\tat once afterwards: p50\tp99 ms\tnot 200\tleft")
	for _, r := range results {
		fmt.Fprintf(table, "%s\t%.1f\t%.1f\t%d\t%.1f\t%.1f\t%d\t%d\n", r.Service,
			r.Before.Latency.P50/1e3, r.Before.Latency.P99/1e3, r.Before.Requests-r.Before.Good(),
			r.After.Latency.P50/1e3, r.After.Latency.P99/1e3, r.After.Requests-r.After.Good(), len(r.Left))
	}
	fmt.Fprintln(table, "\nmemory\tprocess\tpeak MiB\tbound")
	for _, r := range results {
		for _, m := range r.Memory {
			fmt.Fprintf(table, "%s\t%s\t%.0f\t%.0f\n", r.Service, m.Name, m.Peak, m.Bound)
		}
	}
	return table.Flush()
}
