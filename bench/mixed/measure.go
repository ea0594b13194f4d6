package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/butterfly-zmq/butterfly/bench/internal/httpload"
	"github.com/butterfly-zmq/butterfly/bench/internal/ticks"
)

// sample is what one round says about one server.
type sample struct {
	cheap, heavy *httpload.Report
	others       float64 // share of the processors that other programs took; ticks.Unknown if it is not known
}

// quiet is the share of the processors that other programs may take before a
// measurement is repeated, if it may be.
const quiet = 0.05

// measure loads the servers in rounds that take turns.
func measure(ctx context.Context, o *options, servers []*server, progress io.Writer) ([]result, error) {
	// Two threads for the load, and one for each pacer, which sleeps in the kernel.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	samples := make([][]sample, len(servers))
	for round := range o.rounds {
		for i, s := range servers {
			got, err := o.quietly(ctx, s, uint64(round), progress)
			if err != nil {
				return nil, fmt.Errorf("round %d of %d: %w", round+1, o.rounds, err)
			}
			fmt.Fprintf(progress, "round %d of %d: %s: cheap p99 %.2f ms, heavy %.2f/s\n", round+1, o.rounds, s.kind,
				got.cheap.Latency.P99/1e3, got.heavy.PerSecond)
			samples[i] = append(samples[i], got)
		}
	}
	results := make([]result, len(servers))
	for i, s := range servers {
		results[i] = summarize(s.kind, samples[i])
	}
	return results, nil
}

// quietly measures a server, and again while other programs disturb, as often as
// that is allowed. Whether it does so depends on nothing that was measured.
func (o *options) quietly(ctx context.Context, s *server, round uint64, progress io.Writer) (sample, error) {
	for repeats := o.repeat; ; repeats-- {
		before := ticks.Spent(os.Getpid(), s.cmd.Process.Pid)
		got, err := o.load(ctx, s, round)
		if err != nil {
			return got, err
		}
		got.others = ticks.Others(before, ticks.Spent(os.Getpid(), s.cmd.Process.Pid))
		if got.others <= quiet || repeats == 0 {
			return got, nil
		}
		fmt.Fprintf(progress, "%s: again, since other programs took %.0f %% of the processors\n", s.kind, 100*got.others)
	}
}

// load sends both kinds of request to a server at once.
func (o *options) load(ctx context.Context, s *server, round uint64) (got sample, err error) {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		got.cheap, err = o.stream(ctx, s, o.cheap, 2*(o.seed+round))
		return err
	})
	g.Go(func() (err error) {
		got.heavy, err = o.stream(ctx, s, o.heavy, 2*(o.seed+round)+1)
		return err
	})
	return got, g.Wait()
}

// stream sends one kind of request. One that fails makes the measurement
// worthless: refusing is faster than working.
func (o *options) stream(ctx context.Context, s *server, of stream, seed uint64) (*httpload.Report, error) {
	number := strconv.FormatUint(of.number, 10)
	report, err := httpload.Run(ctx, httpload.Config{
		URL:         s.url + "/is_prime?possible_prime=" + number,
		Expect:      []byte(number),
		Connections: o.connections,
		Duration:    o.duration,
		Warmup:      o.warmup,
		Rate:        of.rate,
		Random:      true,
		Seed:        seed,
		Timeout:     10 * time.Second,
	})
	switch {
	case err != nil:
		return nil, err
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case report.Good() != report.Requests || report.Requests == 0:
		return nil, fmt.Errorf("%s: of %d requests for %s %d were answered well: statuses %v, failures %v",
			s.kind, report.Requests, number, report.Good(), report.Statuses, report.Failures)
	}
	return report, nil
}
