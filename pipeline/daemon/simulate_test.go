package daemon_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/daemon"
)

// simulated returns a program whose simulation is n equal jobs for h; taken is
// called before each of them.
func simulated(n int, taken func(job int), h pipeline.HandlerFunc) *daemon.App {
	app := oneStage(h)
	app.SimulateUse = "N"
	app.Simulate = func(string) (*daemon.Simulation, error) {
		done := 0
		return &daemon.Simulation{
			Total: n,
			Jobs: func(yield func([][]byte) bool) {
				for i := range n {
					taken(i)
					if !yield([][]byte{[]byte("x")}) {
						return
					}
				}
			},
			Collect: func(_ int, o pipeline.Outcome) error {
				if o.Err == nil {
					done++
				}
				return o.Err
			},
			Result: func() string { return fmt.Sprintf("%d done", done) },
		}, nil
	}
	return app
}

// The more workers, the more jobs are open at a time; no bound of a front's
// stands in their way.
func TestSimulationWithTheMostWorkers(t *testing.T) {
	const workers, jobs = 4096, 16384 // four jobs open for each worker
	all := make(chan struct{})
	app := simulated(jobs, func(job int) {
		if job == jobs-1 {
			close(all) // the last one is taken while no other has ended
		}
	}, func(ctx context.Context, _ *pipeline.Job) (pipeline.Result, error) {
		select {
		case <-all:
			return pipeline.Text(200, ""), nil
		case <-ctx.Done():
			return pipeline.Result{}, ctx.Err()
		}
	})
	c := execute(t.Context(), app, "1", fmt.Sprint(workers))
	assert.Zero(t, c.ends(t), c.stderr)
	assert.Equal(t, fmt.Sprintf("%d done\n", jobs), c.stdout.String())
}

// A simulation that is told to stop says how far it got, and has no result.
func TestAnInterruptedSimulationSaysHowFarItGot(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	hundred := make(chan struct{})
	app := simulated(1000, func(int) {}, func(ctx context.Context, job *pipeline.Job) (pipeline.Result, error) {
		select {
		case <-hundred:
			<-ctx.Done()
			return pipeline.Result{}, ctx.Err()
		default:
			return pipeline.Text(200, ""), nil
		}
	})
	count := 0
	simulate := app.Simulate
	app.Simulate = func(arg string) (*daemon.Simulation, error) {
		sim, err := simulate(arg)
		collect := sim.Collect
		sim.Collect = func(job int, o pipeline.Outcome) error {
			err := collect(job, o)
			if count++; err == nil && count == 100 {
				close(hundred)
				interrupt()
			}
			return err
		}
		return sim, err
	}
	c := execute(ctx, app, "1", "1")
	assert.Equal(t, 1, c.ends(t))
	assert.Empty(t, c.stdout.String())
	assert.Regexp(t, `(?m)^program: interrupted after 10\d of 1000 jobs$`, c.stderr.String())
	assert.Regexp(t, `(?m)^jobs +10\d$`, c.stderr.String())
	assert.Contains(t, c.stderr.String(), "jobs/s")
}
