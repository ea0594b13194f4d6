package daemon_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/daemon"
)

// A program has its workers by name, and the pipeline that it runs by default.
// Its main calls Main; Execute does the same without the process around it.
func ExampleApp() {
	app := &daemon.App{
		Name:    "greeter",
		Version: "1.2.3",
		Workers: map[string]pipeline.Handler{"greet": pipeline.HandlerFunc(greet)},
		Stages:  []daemon.Stage{{Name: "greet"}},
	}
	code := app.Execute(context.Background(), []string{"--version"}, os.Stdout, os.Stderr)
	fmt.Println("exit code", code)
	// Output:
	// greeter 1.2.3
	// exit code 0
}

// A simulation runs jobs through the same stages without HTTP.
func ExampleSimulation() {
	greeted := 0
	app := &daemon.App{
		Name:    "greeter",
		Workers: map[string]pipeline.Handler{"greet": pipeline.HandlerFunc(greet)},
		Stages:  []daemon.Stage{{Name: "greet"}},
		Simulate: func(string) (*daemon.Simulation, error) {
			return &daemon.Simulation{
				Jobs:  slices.Values([][][]byte{{[]byte("Ada")}, {[]byte("Grace")}}),
				Total: 2,
				Collect: func(_ int, o pipeline.Outcome) error {
					if o.Err == nil {
						greeted++
					}
					return o.Err
				},
				Result: func() string { return fmt.Sprintf("%d greeted", greeted) },
			}, nil
		},
		SimulateUse: "N",
	}
	app.Execute(context.Background(), []string{"2", "1"}, os.Stdout, io.Discard)
	// Output:
	// 2 greeted
}

func greet(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
	return pipeline.Text(200, "Hello, "+string(job.Bytes())+"!"), nil
}
