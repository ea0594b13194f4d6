package pipeline_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
)

// A list of numbers is split into parts of one number each; they are squared by
// several workers, at most four of a request at a time, and added up where they
// are joined.
func ExampleScatter() {
	split := func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
		var parts [][]byte
		for number := range strings.FieldsSeq(string(job.Bytes())) {
			parts = append(parts, []byte(number))
		}
		if len(parts) == 0 {
			return pipeline.Result{}, pipeline.Errorf(400, "want numbers")
		}
		return pipeline.Scatter(pipeline.Fan{Stage: "square", Join: "sum", Width: 4}, parts...), nil
	}
	square := func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
		n, err := strconv.Atoi(string(job.Bytes()))
		if err != nil {
			return pipeline.Result{}, pipeline.Errorf(400, "%q is no number", job.Bytes())
		}
		return pipeline.Forward("sum", []byte(strconv.Itoa(n*n))), nil
	}
	sum := func(_ context.Context, _ *pipeline.Job, parts []pipeline.Part) (pipeline.Result, error) {
		total := 0
		for _, p := range parts {
			n, err := strconv.Atoi(string(p.Bytes()))
			if err != nil {
				return pipeline.Result{}, err
			}
			total += n
		}
		return pipeline.Text(200, strconv.Itoa(total)), nil
	}

	bench, err := cluster.NewBench([]cluster.Stage{
		{Name: "split", Handler: pipeline.HandlerFunc(split), Next: []string{"square", "sum"}},
		{Name: "square", Handler: pipeline.HandlerFunc(square), Next: []string{"sum"}, Slots: 4},
		{Name: "sum", Handler: pipeline.Gather(sum)},
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	err = bench.Run(context.Background(), func(ctx context.Context) error {
		for _, list := range []string{"1 2 3 4 5 6 7 8 9 10", "3 x"} {
			answer, err := bench.Do(ctx, []byte(list))
			if err != nil {
				return err
			}
			r, err := answer.Response()
			if err != nil {
				return err
			}
			fmt.Printf("%d %s\n", r.Status, r.Body)
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// 200 385
	// 400 "x" is no number
	// <nil>
}
