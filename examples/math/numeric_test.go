package math

import (
	"context"
	stdmath "math"
	"math/big"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The sum of many numbers of all sizes is as exact as one rounding, but for
// terms of second order.
func TestSumsAreCompensated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		numbers := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) float64 {
			return stdmath.Ldexp(rapid.Float64Range(-1, 1).Draw(t, "mantissa"), rapid.IntRange(-60, 60).Draw(t, "exponent"))
		}), 1, 200).Draw(t, "numbers")
		var total compensated
		exact, sizes := new(big.Float).SetPrec(2000), 0.0
		for _, n := range numbers {
			total.add(n)
			exact.Add(exact, big.NewFloat(n))
			sizes += stdmath.Abs(n)
		}
		want, _ := exact.Float64()
		second := float64(len(numbers)*len(numbers)) * epsilon * epsilon * sizes * 4
		require.InDelta(t, want, total.value(), 2*epsilon*stdmath.Abs(want)+second)
	})
}

func parsed(t require.TestingT, text string) function {
	f, err := parseFunction(text)
	require.NoError(t, err, text)
	return f
}

func TestDerivatives(t *testing.T) {
	for _, c := range []struct {
		f        string
		at, want float64
	}{
		{"7", 3, 0},
		{"x^3-2*x", 1.5, 4.75},
		{"sin(x)", 1, stdmath.Cos(1)},
		{"x^x", 2, 4 * (stdmath.Ln2 + 1)},
		{"exp(100*x)", 0, 100},
		{"sin(100*x)", 3, 100 * stdmath.Cos(300)},
		{"sin(16*pi*x)", 0, 16 * stdmath.Pi},
		{"tan(x)", 1.5, 1 / (stdmath.Cos(1.5) * stdmath.Cos(1.5))},
		{"1/x", 1e-6, -1e12},
		{"log(x)", 1e-9, 1e9},
		{"abs(x)", 0.001, 1},
		{"x*abs(x)", 0, 0},
		{"1e-12*x", 1, 1e-12},
		{"1e9+x", 0, 1},
		{"exp(x)", 700, stdmath.Exp(700)},
		{"x^3", 1e6, 3e12},
		{"sin(x)", -1e6, stdmath.Cos(1e6)},
	} {
		got, err := derivative(parsed(t, c.f), c.at)
		if assert.NoError(t, err, "%s at %v", c.f, c.at) {
			assert.InDelta(t, c.want, got.value, slopeWithin*stdmath.Max(1, stdmath.Abs(c.want)), "%s at %v", c.f, c.at)
		}
	}
}

func TestPointsWithoutDerivative(t *testing.T) {
	for _, c := range []struct {
		f    string
		at   float64
		want string
	}{
		{"abs(x)", 0, "f has no derivative at 0: it is -1 from the left and 1 from the right"},
		{"abs(x-1)*2+x", 1, "it is -1 from the left and 3 from the right"},
		{"sqrt(x)", 0, "not smooth there"},
		{"sqrt(abs(x))", 0, "do not settle"},
		{"sqrt(x)", -1, "f is not defined at -1: it is NaN there"},
		{"1/x", 0, "f is not defined at 0: it is +Inf there"},
		{"exp(x)", 800, "it is +Inf there"},
		{"sin(1e9*x)", 1, "no derivative at 1 was found"},
		{"x", 1e7, "at 1e+07: want -1e+06 to 1e+06"},
	} {
		_, err := derivative(parsed(t, c.f), c.at)
		assert.ErrorContains(t, err, c.want, "%s at %v", c.f, c.at)
	}
}

func TestIntegrals(t *testing.T) {
	for _, c := range []struct {
		f                         string
		from, to, tolerance, want float64
	}{
		{"sin(x)", 0, stdmath.Pi, 1e-9, 2},
		{"sin(x)", stdmath.Pi, 0, 1e-9, -2},
		{"exp(-x^2)", -6, 6, 1e-12, 1.7724538509055159 * stdmath.Erf(6)},
		{"sqrt(x)", 0, 1, 1e-12, 2.0 / 3},
		{"sin(x)^2", 0, 42 * stdmath.Pi, 1e-9, 21 * stdmath.Pi},
		{"sin(1000*x)", 0, 10, 1e-9, (1 - stdmath.Cos(1e4)) / 1000},
		{"x^10", 0, 100, 1e-12, 1e22 / 11},
		{"abs(x-0.3)", 0, 1, 1e-9, 0.045 + 0.245},
		{"1/(1+exp(-1e20*(x-0.3)))", 0, 1, 1e-12, 0.7}, // a jump
		{"x", 5, 5, 1e-9, 0},
		{"1/x", 1e-6, 1, 1e-9, 6 * stdmath.Ln10},
	} {
		q := quadrature{ctx: t.Context(), f: parsed(t, c.f), left: maxEvaluations}
		got, err := q.integral(c.from, c.to, c.tolerance)
		if assert.NoError(t, err, c) {
			assert.InDelta(t, c.want, got.value, got.off, "%v", c)
			size := stdmath.Max(stdmath.Abs(c.want), 2/stdmath.Pi*stdmath.Abs(c.to-c.from)) // the latter of sines
			assert.LessOrEqual(t, got.off, 2*c.tolerance*stdmath.Max(1, size), "%v", c)
		}
	}
}

func TestIntervalsWithoutIntegral(t *testing.T) {
	for _, c := range []struct {
		f        string
		from, to float64
		want     string
	}{
		{"1/x", -1, 2, "f is not defined at 0: it is +Inf there"},
		{"1/x", 0, 1, "f is not defined at 0"},
		{"sqrt(x)", -1, 1, "f is not defined at -1: it is NaN there"},
		{"1/(x-0.3)", 0, 1, "the integral does not settle near 0.29"},
		{"sin(1/x)", 1e-4, 1, "more than 1000000 evaluations"},
		{"exp(x)", 0, 709, "out of range"},
		{"1e308", -1, 1, "out of range"},
		{"1", -1e308, 1e308, "from -1e+308 to 1e+308 is too far"},
	} {
		q := quadrature{ctx: t.Context(), f: parsed(t, c.f), left: maxEvaluations}
		_, err := q.integral(c.from, c.to, 1e-12)
		assert.ErrorContains(t, err, c.want, c)
		assert.GreaterOrEqual(t, q.left, 0, "never more than the bound")
	}
}

// Polynomials have both in closed form.
func TestPolynomials(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SliceOfN(rapid.Float64Range(-10, 10), 1, 6).Draw(t, "coefficients")
		eval := func(x float64, scale func(i int) (factor float64, power int)) (sum float64) {
			for i, ci := range c {
				factor, power := scale(i)
				sum += ci * factor * stdmath.Pow(x, float64(power))
			}
			return sum
		}
		f := func(x float64) float64 { return eval(x, func(i int) (float64, int) { return 1, i }) }
		area := func(x float64) float64 { return eval(x, func(i int) (float64, int) { return 1 / float64(i+1), i + 1 }) }
		at, to := rapid.Float64Range(-5, 5).Draw(t, "at"), rapid.Float64Range(-5, 5).Draw(t, "to")
		slope, err := derivative(f, at)
		require.NoError(t, err)
		want := eval(at, func(i int) (float64, int) { return float64(i), max(i-1, 0) })
		require.InDelta(t, want, slope.value, 1e-8*stdmath.Max(1, stdmath.Abs(want)))
		q := quadrature{ctx: context.Background(), f: f, left: maxEvaluations}
		got, err := q.integral(at, to, 1e-10)
		require.NoError(t, err)
		require.InDelta(t, area(to)-area(at), got.value, got.off+1e-12*stdmath.Abs(area(to))+1e-12*stdmath.Abs(area(at)))
	})
}

func TestAnIntegralStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	q := quadrature{ctx: ctx, left: maxEvaluations, f: func(x float64) float64 {
		if calls++; calls == 1000 {
			cancel()
		}
		return stdmath.Sin(1e6 * x)
	}}
	_, err := q.integral(0, 1, 1e-12)
	assert.ErrorIs(t, err, context.Canceled)
	assert.Less(t, calls, 1000+2*evaluationsBetweenLook)
}

func TestASumStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := sum(ctx, make([]byte, 0), "")
	assert.ErrorContains(t, err, "there are no numbers", "short ones are answered all the same")
	long := []byte("1")
	for range numbersBetweenLooks {
		long = append(long, ",1"...)
	}
	_, err = sum(ctx, long, "")
	assert.ErrorIs(t, err, context.Canceled)
}

func TestAnswersHaveTheDigitsThatAreCertain(t *testing.T) {
	for want, e := range map[string]estimate{
		"0":            {1e-10, 1e-9},
		"1":            {1, 0},
		"3.141592654":  {stdmath.Pi, 0},
		"3.1416":       {stdmath.Pi, 1e-5},
		"3":            {stdmath.Pi, 1},
		"-3.14":        {-stdmath.Pi, 1e-3},
		"1e+22":        {1e22, 1e5},
		"1.234567e-07": {1.234567e-7, 1e-15},
	} {
		assert.Equal(t, want, e.text(), "%v", e)
	}
}
