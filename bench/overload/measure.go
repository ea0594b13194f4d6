//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"runtime"
	"time"

	"github.com/butterfly-zmq/butterfly/bench/internal/httpload"
	"github.com/butterfly-zmq/butterfly/bench/internal/parts"
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
	load := func(what string, c httpload.Config) (*httpload.Report, error) {
		fmt.Fprintf(progress, "%s: %s\n", s, what)
		c.URL, c.Timeout, c.Random, c.Seed = d.url+paths[s.Work], 5*o.timeout, c.Rate > 0, o.seed
		report, err := httpload.Run(ctx, c)
		if err == nil {
			err = context.Cause(ctx)
		}
		if err == nil {
			err = d.running()
		}
		return report, err
	}
	atOnce := 2 * o.slotsOf(s)
	full, err := load("what it bears", httpload.Config{Connections: atOnce, Warmup: time.Second, Duration: o.around})
	if err != nil {
		return nil, err
	}
	r.Sustained = perSecond(full)
	if r.Sustained < 1 {
		return nil, fmt.Errorf("of %d requests %d were answered well: statuses %v", full.Requests, full.Good(), full.Statuses)
	}
	calm := httpload.Config{Connections: 64 + atOnce, Rate: r.Sustained / 2, Warmup: time.Second, Duration: o.around}
	if r.Before, err = load("half of that", calm); err != nil {
		return nil, err
	}
	memory := watch(d.parts)
	r.Over, err = load(fmt.Sprintf("%.0f times %.0f requests a second", o.factor, r.Sustained), httpload.Config{
		// Those that are taken wait for as long as the timeout; the others are answered at once.
		Connections: 256 + int(1.5*r.Sustained*o.timeout.Seconds()),
		Rate:        o.factor * r.Sustained, Duration: o.duration,
	})
	r.Memory = memory()
	if err == nil {
		err = lagged(r.Over)
	}
	if err != nil {
		return nil, err
	}
	if r.After, err = load("half of what it bears", calm); err != nil {
		return nil, err
	}
	return r, nil
}

// perSecond returns how many good answers came a second.
func perSecond(r *httpload.Report) float64 { return float64(r.Good()) / r.Seconds }

// memory is what a part held, in MiB of its resident set.
type memory struct {
	Name  string  `json:"name"`
	First float64 `json:"first_mib"`
	Most  float64 `json:"most_mib"`
}

// watch looks at the parts' memory until the function that it returns is called.
func watch(all []*parts.Part) (stop func() []memory) {
	ctx, cancel := context.WithCancel(context.Background())
	found, done := make([]memory, len(all)), make(chan struct{})
	look := func() {
		for i, p := range all {
			if now, err := parts.ReadOutside(p.PID()); err == nil { // one that has ended is told elsewhere
				found[i].Name = p.Name
				found[i].Most = max(found[i].Most, now.ResidentMiB)
			}
		}
	}
	look()
	for i := range found {
		found[i].First = found[i].Most
	}
	go func() {
		defer close(done)
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				look()
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() []memory {
		cancel()
		<-done
		return found
	}
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
