package math

import (
	"context"
	stdmath "math"

	"github.com/butterfly-zmq/butterfly/pipeline"
)

// Derivative answers the derivative of a function at a point:
// GET /derivative?f=x^3-2*x&at=1.5
func Derivative(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
	q, err := ask(job, "/derivative?f=x^3-2*x&at=1.5", "GET")
	if err != nil {
		return pipeline.Result{}, err
	}
	f, err := q.function()
	if err != nil {
		return pipeline.Result{}, err
	}
	at, err := q.number("at")
	if err != nil {
		return pipeline.Result{}, err
	}
	slope, err := derivative(f, at)
	if err != nil {
		return pipeline.Result{}, err
	}
	return pipeline.Text(200, slope.text()), nil
}

// What is asked of an estimate, relative to the derivative or to one: how
// certain it is, and how near the sides are to each other. One-sided estimates
// are less exact; what they are for is to find corners.
const (
	slopeWithin = 1e-5
	sidesWithin = 1e-3
)

// farthest bounds where a derivative is asked for. Farther out the numbers
// around the point lie too far apart for functions that change quickly.
const farthest = 1e6

// derivative estimates f'(at) by central differences. It evaluates f some
// hundred times.
//
// At a corner like that of abs(x) central differences settle at the mean of
// both sides, which is no derivative: so the sides are looked at alone too.
func derivative(f function, at float64) (estimate, error) {
	if stdmath.Abs(at) > farthest {
		return estimate{}, pipeline.Errorf(400, "at %g: want %g to %g", at, -farthest, farthest)
	}
	if v := f(at); !finite(v) {
		return estimate{}, pipeline.Errorf(400, "f is not defined at %g: it is %g there", at, v)
	}
	both := extrapolate(f, at, 1, -1)
	left, right := extrapolate(f, at, 0, -1), extrapolate(f, at, 1, 0)
	scale := stdmath.Max(1, stdmath.Abs(both.value))
	switch {
	case !(both.off <= slopeWithin*scale):
		return estimate{}, pipeline.Errorf(400, "no derivative at %g was found: f is not smooth there, or too wild to tell", at)
	case !(left.off <= sidesWithin*scale && right.off <= sidesWithin*scale):
		return estimate{}, pipeline.Errorf(400, "no derivative at %g was found: the slopes from the left and from the right do not settle", at)
	case stdmath.Abs(left.value-right.value) > left.off+right.off+sidesWithin*scale:
		return estimate{}, pipeline.Errorf(400, "f has no derivative at %g: it is %.4g from the left and %.4g from the right",
			at, left.value, right.value)
	}
	return both, nil
}

// The steps of an extrapolation: the first is odd, so that periods of a
// function do not fall together with it, each other one is half of the one
// before. A row of the tableau has no use for more columns.
const (
	firstStep = 0.1137
	steps     = 44
	columns   = 9
)

// extrapolate estimates the slope of f between at+right·h and at+left·h for h
// to zero, by Richardson's method: the differences for h, h/2, h/4, … have
// errors in powers of h, which Neville's tableau cancels one after the other.
// The entry that seems least off its neighbours is taken; errors of rounding,
// which grow as h shrinks, count too.
func extrapolate(f function, at, right, left float64) estimate {
	best := estimate{off: stdmath.Inf(1)}
	power := 2.0 // the errors are powers of h
	if right == -left {
		power = 4 // of h²
	}
	var row []float64
	for i := range steps {
		step := stdmath.Ldexp(firstStep, -i)
		a, b := at+right*step, at+left*step
		if a-b < 1e-12*stdmath.Abs(at) {
			break // the points themselves are rounded too much
		}
		fa, fb := f(a), f(b)
		difference := (fa - fb) / (a - b)
		if !finite(difference) {
			row = nil // outside of where f is defined: begin again nearer
			continue
		}
		rounding := 4 * epsilon * stdmath.Max(stdmath.Abs(fa), stdmath.Abs(fb)) / (a - b)
		var found estimate
		row, found = neville(row, difference, power)
		if found.off = stdmath.Max(found.off, rounding); found.off < best.off {
			best = found
		}
	}
	return best
}

// epsilon is the relative error of one rounding.
const epsilon = 0x1p-53

// neville returns the row below another of a tableau, and the best of its
// entries: the one that is nearest to those that it was made of.
func neville(above []float64, difference, power float64) (row []float64, best estimate) {
	best.off = stdmath.Inf(1)
	row = append(make([]float64, 0, columns), difference)
	factor := 1.0
	for i := range min(len(above), columns-1) {
		factor *= power
		next := row[i] + (row[i]-above[i])/(factor-1)
		row = append(row, next)
		if off := stdmath.Max(stdmath.Abs(next-row[i]), stdmath.Abs(next-above[i])); off < best.off {
			best = estimate{next, off}
		}
	}
	return row, best
}
