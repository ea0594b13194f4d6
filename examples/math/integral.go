package math

import (
	"cmp"
	"context"
	stdmath "math"

	"github.com/butterfly-zmq/butterfly/pipeline"
)

// Integral answers the integral of a function between two bounds:
// GET /integral?f=sin(x)&from=0&to=3.14159&tolerance=1e-9
//
// The tolerance is 1e-9 if it is not given. It is absolute, or relative to the
// area between f and the axis where that is larger than one.
func Integral(ctx context.Context, job *pipeline.Job) (pipeline.Result, error) {
	q, err := ask(job, "/integral?f=sin(x)&from=0&to=3.14159&tolerance=1e-9", "GET")
	if err != nil {
		return pipeline.Result{}, err
	}
	f, err := q.function()
	if err != nil {
		return pipeline.Result{}, err
	}
	from, err1 := q.number("from")
	to, err2 := q.number("to")
	tolerance, err3 := q.numberOr("tolerance", 1e-9)
	if err := cmp.Or(err1, err2, err3); err != nil {
		return pipeline.Result{}, err
	}
	if tolerance < leastTolerance || tolerance > 1 {
		return pipeline.Result{}, pipeline.Errorf(400, "tolerance %g: want %g to 1", tolerance, leastTolerance)
	}
	work := quadrature{ctx: ctx, f: f, left: maxEvaluations}
	area, err := work.integral(from, to, tolerance)
	if err != nil {
		return pipeline.Result{}, err
	}
	return pipeline.Text(200, area.text()), nil
}

// leastTolerance is about what rounding leaves of a sum of many areas.
const leastTolerance = 1e-12

// The bounds of the work: the evaluations, which take tenths of a second for
// most functions and seconds for the dearest; those between two looks at the
// context; and how often an interval is halved.
const (
	maxEvaluations         = 1_000_000
	evaluationsBetweenLook = 256
	maxDepth               = 100
)

// panels is how many pieces every interval is cut into to begin with: with one
// alone a periodic function would look constant at its three points.
const panels = 21

// quadrature is one integration by Simpson's rule, adaptively.
type quadrature struct {
	ctx  context.Context
	f    function
	left int     // evaluations
	size float64 // of the area found so far, each part counted as positive
}

// panel is an interval with what Simpson's rule knows of it.
type panel struct {
	from, to            float64
	first, middle, last float64 // values of f
	area                float64
}

func newPanel(from, to, first, middle, last float64) panel {
	return panel{from, to, first, middle, last, (to - from) / 6 * (first + 4*middle + last)}
}

// integral returns the area under f. How large it is, which the tolerance may
// be relative to, is known at the end only: if it was thought much larger the
// work is done once more.
func (q *quadrature) integral(from, to, tolerance float64) (estimate, error) {
	pieces, err := q.cut(from, to)
	if err != nil {
		return estimate{}, err
	}
	size := 0.0
	for _, p := range pieces {
		size += stdmath.Abs(p.area)
	}
	for {
		off := tolerance * stdmath.Max(1, size)
		area, err := q.refineAll(pieces, off)
		if err != nil {
			return estimate{}, err
		}
		if stdmath.Max(1, size) <= 2*stdmath.Max(1, q.size) {
			return estimate{area, off}, nil
		}
		size = q.size
	}
}

// refineAll returns the area under the pieces, to within off.
func (q *quadrature) refineAll(pieces []panel, off float64) (float64, error) {
	q.size = 0
	var area compensated
	for _, p := range pieces {
		part, err := q.refine(p, off/panels, maxDepth)
		if err != nil {
			return 0, err
		}
		area.add(part)
	}
	return area.value(), nil
}

// cut makes the first panels.
func (q *quadrature) cut(from, to float64) ([]panel, error) {
	width := (to - from) / panels
	if !finite(width) {
		return nil, pipeline.Errorf(400, "from %g to %g is too far", from, to)
	}
	first, err := q.at(from)
	if err != nil {
		return nil, err
	}
	pieces := make([]panel, panels)
	for i := range pieces {
		a, b := from+float64(i)*width, from+float64(i+1)*width
		if i == panels-1 {
			b = to
		}
		if pieces[i], err = q.panel(a, b, first); err != nil {
			return nil, err
		}
		first = pieces[i].last
	}
	return pieces, nil
}

// panel evaluates f at the middle and the end of an interval.
func (q *quadrature) panel(from, to, first float64) (panel, error) {
	middle, err := q.at(from + (to-from)/2)
	if err != nil {
		return panel{}, err
	}
	last, err := q.at(to)
	return newPanel(from, to, first, middle, last), err
}

// refine halves a panel until both halves together differ so little from the
// whole that the rest, a fifteenth of the difference, is allowed, or no more
// than what rounding makes of it.
func (q *quadrature) refine(p panel, allowed float64, depth int) (float64, error) {
	centre := p.from + (p.to-p.from)/2
	quarter, err := q.at(p.from + (p.to-p.from)/4)
	if err != nil {
		return 0, err
	}
	threeQuarters, err := q.at(centre + (p.to-centre)/2)
	if err != nil {
		return 0, err
	}
	left := newPanel(p.from, centre, p.first, quarter, p.middle)
	right := newPanel(centre, p.to, p.middle, threeQuarters, p.last)
	rest := (left.area + right.area - p.area) / 15
	size := stdmath.Abs(left.area) + stdmath.Abs(right.area)
	switch {
	case !finite(rest):
		return 0, pipeline.Errorf(400, "the integral is out of range near %g", centre)
	case stdmath.Abs(rest) <= stdmath.Max(allowed, epsilon*size):
		q.size += size
		return left.area + right.area + rest, nil
	case depth == 0, centre == p.from, centre == p.to:
		return 0, pipeline.Errorf(400, "the integral does not settle near %g: f has a pole there, or is too steep", centre)
	}
	a, err := q.refine(left, allowed/2, depth-1)
	if err != nil {
		return 0, err
	}
	b, err := q.refine(right, allowed/2, depth-1)
	return a + b, err
}

// at evaluates f, within the bounds.
func (q *quadrature) at(x float64) (float64, error) {
	if q.left == 0 {
		return 0, pipeline.Errorf(400, "the integral needs more than %d evaluations of f: ask for a larger tolerance or a shorter interval",
			maxEvaluations)
	}
	q.left--
	if q.left%evaluationsBetweenLook == 0 && q.ctx.Err() != nil {
		return 0, q.ctx.Err()
	}
	v := q.f(x)
	if !finite(v) {
		return 0, pipeline.Errorf(400, "f is not defined at %g: it is %g there", x, v)
	}
	return v, nil
}
