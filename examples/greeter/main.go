// Command greeter is a pipeline of one stage of its own.
package main

import (
	"context"

	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/daemon"
)

func greet(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
	r, err := job.Request()
	if err != nil {
		return pipeline.Result{}, err // 400: the job is no HTTP request
	}
	name, ok := r.Query("name")
	if !ok {
		return pipeline.Result{}, pipeline.Errorf(400, "ask like this: /?name=Ada")
	}
	return pipeline.Text(200, "Hello, "+name+"!"), nil
}

func newApp() *daemon.App {
	return &daemon.App{
		Name:    "greeter",
		Short:   "Greets whoever is named in ?name=.",
		Workers: map[string]pipeline.Handler{"greet": pipeline.HandlerFunc(greet)},
		Stages:  []daemon.Stage{{Name: "greet"}},
	}
}

func main() { newApp().Main() }
