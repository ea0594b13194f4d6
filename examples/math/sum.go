package math

import (
	"bytes"
	"context"
	stdmath "math"
	"strconv"

	"github.com/butterfly-zmq/butterfly/pipeline"
)

// Sum answers the sum of GET /sum?values=1,2,3.5, or of the numbers in a POST's
// body, separated by commas or line ends.
func Sum(ctx context.Context, job *pipeline.Job) (pipeline.Result, error) {
	q, err := ask(job, "/sum?values=1,2,3.5", "GET", "POST")
	if err != nil {
		return pipeline.Result{}, err
	}
	numbers, hint := q.Body, ""
	if q.Method != "POST" {
		text, err := q.value("values")
		if err != nil {
			return pipeline.Result{}, err
		}
		numbers, hint = []byte(text), q.hint(text)
	}
	total, err := sum(ctx, numbers, hint)
	if err != nil {
		return pipeline.Result{}, err
	}
	return pipeline.Text(200, strconv.FormatFloat(total+0, 'g', -1, 64)), nil // +0: no negative zero
}

// numbersBetweenLooks is how many numbers are added between two looks at the
// context: some ten microseconds' worth.
const numbersBetweenLooks = 1024

// sum adds the numbers of a text. Empty lines count for nothing; hint goes
// behind what is said of a number that is none.
func sum(ctx context.Context, text []byte, hint string) (float64, error) {
	var total compensated
	count := 0
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		for item := range bytes.SplitSeq(line, []byte{','}) {
			count++
			n, problem := parseNumber(item)
			if problem != "" {
				return 0, pipeline.Errorf(400, "number %d %s%s", count, problem, hint)
			}
			total.add(n)
			if count%numbersBetweenLooks == 0 && ctx.Err() != nil {
				return 0, ctx.Err()
			}
		}
	}
	if count == 0 {
		return 0, pipeline.Errorf(400, "there are no numbers: separate them by commas or line ends")
	}
	if v := total.value(); finite(v) {
		return v, nil
	}
	return 0, pipeline.Errorf(400, "the sum is out of range: a number is at most %g", stdmath.MaxFloat64)
}

// compensated is a sum together with what rounding took from it (Neumaier's
// variant of Kahan's summation): its error does not grow with the count.
type compensated struct{ sum, lost float64 }

func (c *compensated) add(n float64) {
	sum := c.sum + n
	if stdmath.Abs(c.sum) >= stdmath.Abs(n) {
		c.lost += (c.sum - sum) + n
	} else {
		c.lost += (n - sum) + c.sum
	}
	c.sum = sum
}

func (c *compensated) value() float64 { return c.sum + c.lost }
