package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
)

// inFlight is how many jobs of a simulation are open for every slot: enough
// that no slot waits for the next.
const inFlight = 4

// simulate runs a batch of jobs through the pipeline. SIGINT and SIGTERM end it;
// a second one ends the process, as if nobody had listened for it.
func (a *App) simulate(ctx context.Context, arg string, workers int, log *slog.Logger, stdout, stderr io.Writer) error {
	sim, err := a.Simulate(arg)
	if err != nil {
		return usageError{err}
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	bench, err := cluster.NewBench(a.stages(workers), log)
	if err != nil {
		return err
	}
	bar := progress(sim.Total, stderr)
	began, done := time.Now(), 0
	err = bench.Run(ctx, func(ctx context.Context) error {
		for job, o := range bench.Batch(ctx, inFlight*max(1, workers), sim.Jobs) {
			if err := sim.Collect(job, o); err != nil {
				return err
			}
			done++
			_ = bar.Add(1)
		}
		return context.Cause(ctx)
	})
	_ = bar.Exit()
	switch {
	case ctx.Err() != nil:
		err = fmt.Errorf("interrupted after %d of %d jobs", done, sim.Total)
	case err == nil:
		fmt.Fprintln(stdout, sim.Result())
	default:
		return err
	}
	summarize(stderr, done, time.Since(began), bench.Stats())
	return err
}

// progress returns a bar that shows itself on a terminal only.
func progress(total int, w io.Writer) *progressbar.ProgressBar {
	f, ok := w.(*os.File)
	visible := ok && term.IsTerminal(int(f.Fd()))
	return progressbar.NewOptions(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetVisibility(visible),
		progressbar.OptionShowCount(),
		progressbar.OptionShowIts(),
		progressbar.OptionSetItsString("jobs"),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)
}

// summarize prints what a batch took: time, jobs per second, and how much of it
// each stage's slots were busy.
func summarize(w io.Writer, jobs int, took time.Duration, stats []cluster.StageStats) {
	fmt.Fprintf(w, "%-10s %8d\n", "jobs", jobs)
	fmt.Fprintf(w, "%-10s %8.3f s\n", "time", took.Seconds())
	fmt.Fprintf(w, "%-10s %8.0f jobs/s on %d cores\n", "rate", float64(jobs)/took.Seconds(), runtime.GOMAXPROCS(0))
	for _, s := range stats {
		busy := s.Busy.Seconds() / (took.Seconds() * float64(s.Slots))
		fmt.Fprintf(w, "%-10s %8.1f %% busy, %d slots, %d jobs, %d failed\n", s.Name, 100*busy, s.Slots, s.Jobs, s.Failed)
	}
}

// stages returns the App's pipeline with a number of slots for each stage.
func (a *App) stages(slots int) []cluster.Stage {
	stages := make([]cluster.Stage, 0, len(a.Stages))
	for _, s := range a.Stages {
		stages = append(stages, cluster.Stage{Name: s.Name, Handler: a.worker(s), Slots: slots, Next: s.Next})
	}
	return stages
}
