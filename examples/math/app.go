// Package math is an example of several routes, each with a pool of its own:
// /sum, /derivative and /integral compute with numbers and with functions of x
// that are written in the request. The routes are in math.yaml.
//
// What a request may cost is bounded: the length of a function's text, the
// times it is evaluated, and the size of a body by the front.
package math

import (
	stdmath "math"
	"strconv"

	"github.com/butterfly-zmq/butterfly/pipeline"
)

// Workers returns the handlers by the names under which they are started.
func Workers() map[string]pipeline.Handler {
	return map[string]pipeline.Handler{
		"math.sum":        pipeline.HandlerFunc(Sum),
		"math.derivative": pipeline.HandlerFunc(Derivative),
		"math.integral":   pipeline.HandlerFunc(Integral),
	}
}

// estimate is a result and what it may be off by.
type estimate struct{ value, off float64 }

// maxDigits is the most that estimates are answered with.
const maxDigits = 10

// text gives the digits that are certain: more would be noise.
func (e estimate) text() string {
	if stdmath.Abs(e.value) <= e.off {
		return "0"
	}
	certain := stdmath.Log10(stdmath.Abs(e.value) / e.off) // without an error it is infinite
	digits := int(stdmath.Min(stdmath.Max(certain, 1), maxDigits))
	return strconv.FormatFloat(e.value, 'g', digits, 64)
}

func finite(v float64) bool { return !stdmath.IsNaN(v) && !stdmath.IsInf(v, 0) }
