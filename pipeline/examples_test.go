package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
	"github.com/butterfly-zmq/butterfly/pipeline/pipelinetest"
)

// A handler answers the client, forwards the job to another stage, or fails.
// pipelinetest calls one without sockets.
func ExampleHandlerFunc() {
	shout := pipeline.HandlerFunc(func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
		r, err := job.Request()
		if err != nil {
			return pipeline.Result{}, err
		}
		if len(r.Body) == 0 {
			return pipeline.Result{}, pipeline.Errorf(400, "there is nothing to shout")
		}
		return pipeline.Text(200, strings.ToUpper(string(r.Body))), nil
	})

	o := pipelinetest.Post(context.Background(), shout, "/", "hello")
	fmt.Printf("%d %s\n", o.Response.Status, o.Response.Body)
	o = pipelinetest.Post(context.Background(), shout, "/", "")
	fmt.Printf("%d %s\n", o.Response.Status, o.Response.Body)
	// Output:
	// 200 HELLO
	// 400 there is nothing to shout
}

// What is forwarded are any bytes that the two stages agreed on.
func ExampleForward() {
	split := pipeline.HandlerFunc(func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
		key, value, ok := strings.Cut(string(job.Bytes()), "=")
		if !ok {
			return pipeline.Result{}, pipeline.Errorf(400, "want KEY=VALUE")
		}
		return pipeline.Forward("store", []byte(key), []byte(value)), nil
	})

	o := pipelinetest.Call(context.Background(), split, []byte("colour=blue"))
	fmt.Printf("to %s: %s\n", o.Stage, o.Frames)
	// Output:
	// to store: [colour blue]
}

// A cause given to Errorf can be found again; its text is in the message that
// the client sees.
func ExampleErrorf() {
	cause := errors.New("no such tile")
	err := pipeline.Errorf(404, "tile %d: %w", 17, cause)

	var status *pipeline.StatusError
	fmt.Println(errors.As(err, &status), status.Status, status.Message)
	fmt.Println(errors.Is(err, cause))
	// Output:
	// true 404 tile 17: no such tile
	// true
}

// double is a pipeline of one stage, without HTTP.
func double() (*cluster.Bench, error) {
	handler := pipeline.HandlerFunc(func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
		return pipeline.Text(200, strings.Repeat(string(job.Bytes()), 2)), nil
	})
	return cluster.NewBench([]cluster.Stage{{Name: "double", Handler: handler, Slots: 2}}, nil)
}

// A client submits jobs without HTTP and waits for their answers.
func ExampleClient_Do() {
	bench, err := double()
	if err != nil {
		fmt.Println(err)
		return
	}
	err = bench.Run(context.Background(), func(ctx context.Context) error {
		answer, err := bench.Do(ctx, []byte("ab"))
		if err != nil {
			return err
		}
		r, err := answer.Response()
		if err != nil {
			return err
		}
		fmt.Printf("%d %s\n", r.Status, r.Body)
		return nil
	})
	fmt.Println(err)
	// Output:
	// 200 abab
	// <nil>
}

// Answers of a batch come as they are ready; each bears the number of its job.
func ExampleClient_Batch() {
	bench, err := double()
	if err != nil {
		fmt.Println(err)
		return
	}
	jobs := [][][]byte{{[]byte("a")}, {[]byte("b")}, {[]byte("c")}}
	answers := make([]string, len(jobs))
	err = bench.Run(context.Background(), func(ctx context.Context) error {
		for job, o := range bench.Batch(ctx, 2, slices.Values(jobs)) {
			if o.Err != nil {
				return o.Err
			}
			r, err := o.Answer.Response()
			if err != nil {
				return err
			}
			answers[job] = string(r.Body)
		}
		return nil
	})
	fmt.Println(answers, err)
	// Output:
	// [aa bb cc] <nil>
}
