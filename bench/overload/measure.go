//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"time"

	"github.com/butterfly-zmq/butterfly/bench/internal/httpload"
	"github.com/butterfly-zmq/butterfly/bench/internal/parts"
	"github.com/butterfly-zmq/butterfly/bench/internal/ticks"
)

// measure runs a service through calm, overload and calm.
func measure(ctx context.Context, o *options, s service, progress io.Writer) (r *result, err error) {
	// Two threads for the load, and one for the pacer, which sleeps in the kernel.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), 3)))
	d, err := deploy(ctx, o, s)
	if err != nil {
		return nil, err
	}
	defer func() {
		if stopped := d.stop(); err == nil {
			err = stopped
		}
	}()
	r = &result{Service: s.String()}
	atOnce := 2 * s.slots(o)
	load := func(what string, c httpload.Config) (*httpload.Report, error) {
		fmt.Fprintf(progress, "%s: %s\n", s, what)
		ask := s.request(d.url)
		c.URL, c.Method, c.Body, c.Expect, c.OnlyGood = ask.URL, ask.Method, ask.Body, ask.Expect, true
		c.Timeout, c.Random, c.Seed = s.timeout(o)+10*time.Second, c.Rate > 0, o.seed
		report, err := httpload.Run(ctx, c)
		if err == nil {
			err = context.Cause(ctx)
		}
		if err == nil {
			err = d.running()
		}
		return report, err
	}
	most := httpload.Config{Connections: atOnce, Warmup: o.around / 5, Duration: o.around}
	if r.Full, err = load("what it bears", most); err != nil {
		return nil, err
	}
	bears := r.Full.GoodPerSecond
	if bears < 1 {
		return nil, fmt.Errorf("of %d requests %d were answered well: statuses %v", r.Full.Requests, r.Full.Good(), r.Full.Statuses)
	}
	calm := httpload.Config{Connections: 64 + atOnce, Rate: bears / 2, Duration: o.around}
	if r.Before, err = load("half of that", calm); err != nil {
		return nil, err
	}
	// More than can be pending: whoever is refused has his answer at once.
	over := httpload.Config{Connections: o.pending + 256, Rate: o.factor * bears, Warmup: o.settle, Duration: o.overload(bears)}
	before := ticks.Spent(d.pids()...)
	if r.Over, err = load(fmt.Sprintf("%.0f times %.0f requests a second", o.factor, bears), over); err != nil {
		return nil, err
	}
	if r.After, err = load("at once half of what it bears", calm); err != nil {
		return nil, err
	}
	r.Others = ticks.Others(before, ticks.Spent(d.pids()...))
	if r.Left, err = d.left(ctx); err != nil {
		return nil, err
	}
	if r.Again, err = load("what it bears now", most); err != nil {
		return nil, err
	}
	r.Memory, err = d.memory(o, s)
	return r, err
}

// overload returns how long to overload a service that bears so many requests a
// second. A time of a few jobs says nothing: those that take turns in a cycle end
// several at once, and the first ones late.
func (o *options) overload(bears float64) time.Duration {
	return max(o.duration, time.Duration(float64(o.jobs)/bears*float64(time.Second)))
}

// pids returns the numbers of all processes that take part.
func (d *deployment) pids() []int {
	all := []int{os.Getpid()}
	for _, p := range d.parts {
		all = append(all, p.PID())
	}
	return all
}

// memory is what a process held, in MiB.
type memory struct {
	Name  string  `json:"name"`
	Peak  float64 `json:"peak_mib"` // resident at most, since its start
	Bound float64 `json:"bound_mib"`
}

// memory reads what the processes have held.
func (d *deployment) memory(o *options, s service) (all []memory, err error) {
	for _, p := range d.parts {
		now, err := parts.ReadOutside(p.PID())
		if err != nil {
			return nil, fmt.Errorf("memory of %s: %w", p.Name, err)
		}
		all = append(all, memory{p.Name, now.PeakMiB, s.bound(o, p.Name) / (1 << 20)})
	}
	return all, nil
}

// others returns how many answers had other statuses than those.
func others(r *httpload.Report, but ...string) int64 {
	counts := maps.Clone(r.Statuses)
	for _, status := range but {
		delete(counts, status)
	}
	sum := int64(0)
	for _, n := range counts {
		sum += n
	}
	return sum
}

// failures returns how many requests got no answer.
func failures(r *httpload.Report) int64 {
	sum := int64(0)
	for _, f := range r.Failures {
		sum += f.Count
	}
	return sum
}
