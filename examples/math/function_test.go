package math

import (
	"fmt"
	stdmath "math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestFunctions(t *testing.T) {
	for text, want := range map[string]float64{ // at x = 3
		"x": 3, "2": 2, "2.5e-1": 0.25, ".5": 0.5, "-x": -3, "+x": 3, "--x": 3,
		"1+2*x": 7, "(1+2)*x": 9, "1-2-x": -4, "24/x/2": 4, "x^3-2*x": 21,
		"-x^2": -9, "(-x)^2": 9, "2^x^2": 512, "2^-x": 0.125, "2**x": 8, " x\t* x ": 9,
		"pi": stdmath.Pi, "e^1.5": stdmath.Pow(stdmath.E, 1.5), "abs(-x)": 3, "sqrt(x*x)": 3,
		"sin(x)": stdmath.Sin(3), "cos(x)": stdmath.Cos(3), "tan(x)": stdmath.Tan(3),
		"exp(x)": stdmath.Exp(3), "log(x)": stdmath.Log(3), "sin(cos(x))": stdmath.Sin(stdmath.Cos(3)),
		strings.Repeat("(", 99) + "x" + strings.Repeat(")", 99): 3,
	} {
		f, err := parseFunction(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, f(3), text)
	}
}

func TestTextsThatAreNoFunctions(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "column 1: unexpected token EOF",
		"1+":                     "column 2: unexpected token EOF",
		"2x":                     `column 2: bad number syntax: "2x"`,
		"x^^2":                   `column 3: unexpected token Operator("^")`,
		"(x":                     "column 2: unexpected token EOF",
		"x)":                     `column 2: unexpected token Bracket(")")`,
		"sin x":                  `column 5: unexpected token Identifier("x")`,
		"1+y":                    `column 3: "y" is not known: there are x, pi and e`,
		"sin":                    `column 1: "sin" is not known`,
		"2*sinh(x)":              `column 3: function "sinh" is not known: there are sin, cos, tan, exp, log, sqrt and abs`,
		"map([1], #)":            `function "map" is not known`,
		"sin()":                  "sin takes one argument, not 0",
		"abs(x)+sin(x, 1)":       "column 8: sin takes one argument, not 2",
		"x%2":                    `column 2: operator "%" is not known: there are + - * / ^`,
		"x==3":                   `operator "==" is not known`,
		"1..x":                   `operator ".." is not known`,
		"not x":                  `operator "not" is not known`,
		"[x]":                    "this is neither a number nor x nor an operation on them",
		`"x"`:                    "neither a number",
		"x.y":                    "neither a number",
		"x ? 1 : 2":              "neither a number",
		"let a = x; a":           "neither a number",
		"x; x":                   "neither a number",
		"true":                   "neither a number",
		"sin.cos(x)":             "neither a number",
		"1e999":                  "value out of range",
		"99999999999999999999":   "value out of range",
		"x\x00":                  "column 2: unrecognized character: U+0000",
		"\u00e9":                 "column 1: ",
		strings.Repeat("x", 201): "column 201: the text is longer than 200 bytes",
	} {
		_, err := parseFunction(text)
		assert.ErrorContains(t, err, want, "%q", text)
		if err != nil {
			assert.NotContains(t, err.Error(), "\n")
		}
	}
}

// term draws a random text and the function that it means.
func term(t *rapid.T, depth int) (string, function) {
	kinds := 3
	if depth > 0 {
		kinds = 10
	}
	unary := func(format string, f function) (string, function) {
		text, g := term(t, depth-1)
		return fmt.Sprintf(format, text), func(x float64) float64 { return f(g(x)) }
	}
	binary := func(operator string, f func(a, b float64) float64) (string, function) {
		left, a := term(t, depth-1)
		right, b := term(t, depth-1)
		return "(" + left + ")" + operator + "(" + right + ")", func(x float64) float64 { return f(a(x), b(x)) }
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return "x", func(x float64) float64 { return x }
	case 1:
		n := rapid.IntRange(0, 1000).Draw(t, "number")
		return fmt.Sprint(n), constant(float64(n))
	case 2:
		return "pi", constant(stdmath.Pi)
	case 3:
		return unary("sin(%s)", stdmath.Sin)
	case 4:
		return unary("-(%s)", func(v float64) float64 { return -v })
	case 5:
		return binary("+", func(a, b float64) float64 { return a + b })
	case 6:
		return binary("-", func(a, b float64) float64 { return a - b })
	case 7:
		return binary("*", func(a, b float64) float64 { return a * b })
	case 8:
		return binary("/", func(a, b float64) float64 { return a / b })
	}
	return binary("^", stdmath.Pow)
}

func TestATextMeansWhatItSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, want := term(t, 4)
		if len(text) > maxText {
			return
		}
		got, err := parseFunction(text)
		require.NoError(t, err, text)
		x := rapid.Float64Range(-100, 100).Draw(t, "x")
		if a, b := want(x), got(x); !stdmath.IsNaN(a) || !stdmath.IsNaN(b) {
			require.Equal(t, a, b, "%s at %v", text, x)
		}
	})
}

// FuzzParseFunction: whatever is sent, there is a function that can be called
// or an error of one line.
func FuzzParseFunction(f *testing.F) {
	for _, text := range []string{"x^3-2*x", "sin(x)/x", "-2**-x", "map([1],#)", `x["a"]?.b`, "let a = 1; a", "1e400", "((((", "x|abs()", "\xff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := parseFunction(text)
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			return
		}
		require.LessOrEqual(t, len(text), maxText)
		_ = parsed(1.5)
	})
}
