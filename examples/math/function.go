package math

import (
	"errors"
	stdmath "math"
	"strconv"
	"strings"
	"unicode"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
)

// function is a real function of x; where it is not defined it is NaN or
// infinite.
type function func(x float64) float64

// maxText bounds a function's text in bytes, and with it the depth of its tree
// and the time of one evaluation: some microseconds.
const maxText = 200

// constants and functions are what a text may name besides x.
var (
	constants = map[string]float64{"pi": stdmath.Pi, "e": stdmath.E}
	functions = map[string]function{
		"sin": stdmath.Sin, "cos": stdmath.Cos, "tan": stdmath.Tan, "exp": stdmath.Exp,
		"log": stdmath.Log, "sqrt": stdmath.Sqrt, "abs": stdmath.Abs,
	}
)

// textError says what in a function's text is wrong, and where.
type textError struct {
	problem string
	column  int // from 1
}

func (e *textError) Error() string { return "column " + strconv.Itoa(e.column) + ": " + e.problem }

// parseFunction reads + - * / ^, parentheses, numbers, x, pi, e, and the
// functions. As usual -x^2 is -(x^2) and 2^3^2 is 2^(3^2).
//
// The syntax is a part of that of expr-lang, whose parser makes the tree;
// whatever else it knows (strings, lists, closures, …) is refused here, and
// nothing of it is ever run.
func parseFunction(text string) (function, error) {
	if len(text) > maxText {
		return nil, &textError{"the text is longer than " + strconv.Itoa(maxText) + " bytes", maxText + 1}
	}
	tree, err := parser.Parse(text)
	var at *file.Error
	switch {
	case errors.As(err, &at):
		return nil, &textError{printable(at.Message), at.Column + 1}
	case err != nil:
		return nil, err
	}
	return compile(tree.Node)
}

// printable keeps a library's message to one line.
func printable(message string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return ' '
	}, message)
}

// compile turns a tree into a function.
func compile(node ast.Node) (function, error) {
	switch n := node.(type) {
	case *ast.IntegerNode:
		return constant(float64(n.Value)), nil
	case *ast.FloatNode:
		return constant(n.Value), nil
	case *ast.IdentifierNode:
		return named(n)
	case *ast.UnaryNode:
		return unary(n)
	case *ast.BinaryNode:
		return binary(n)
	case *ast.CallNode:
		if name, ok := n.Callee.(*ast.IdentifierNode); ok {
			return call(n, name.Value, n.Arguments)
		}
	case *ast.BuiltinNode: // abs, which is a function of the library too
		return call(n, n.Name, n.Arguments)
	}
	return nil, refuse(node, "this is neither a number nor x nor an operation on them")
}

func refuse(n ast.Node, problem string) error {
	return &textError{problem, n.Location().From + 1}
}

func constant(v float64) function { return func(float64) float64 { return v } }

func named(n *ast.IdentifierNode) (function, error) {
	if n.Value == "x" {
		return func(x float64) float64 { return x }, nil
	}
	if v, ok := constants[n.Value]; ok {
		return constant(v), nil
	}
	return nil, refuse(n, quote(n.Value)+" is not known: there are x, pi and e")
}

func call(n ast.Node, name string, arguments []ast.Node) (function, error) {
	f, ok := functions[name]
	if !ok {
		return nil, refuse(n, "function "+quote(name)+" is not known: there are sin, cos, tan, exp, log, sqrt and abs")
	}
	if len(arguments) != 1 {
		return nil, refuse(n, name+" takes one argument, not "+strconv.Itoa(len(arguments)))
	}
	argument, err := compile(arguments[0])
	if err != nil {
		return nil, err
	}
	return func(x float64) float64 { return f(argument(x)) }, nil
}

func unary(n *ast.UnaryNode) (function, error) {
	operand, err := compile(n.Node)
	switch {
	case err != nil:
		return nil, err
	case n.Operator == "-":
		return func(x float64) float64 { return -operand(x) }, nil
	case n.Operator == "+":
		return operand, nil
	}
	return nil, refuse(n, "operator "+quote(n.Operator)+" is not known")
}

func binary(n *ast.BinaryNode) (function, error) {
	left, err := compile(n.Left)
	if err != nil {
		return nil, err
	}
	right, err := compile(n.Right)
	if err != nil {
		return nil, err
	}
	switch n.Operator {
	case "+":
		return func(x float64) float64 { return left(x) + right(x) }, nil
	case "-":
		return func(x float64) float64 { return left(x) - right(x) }, nil
	case "*":
		return func(x float64) float64 { return left(x) * right(x) }, nil
	case "/":
		return func(x float64) float64 { return left(x) / right(x) }, nil
	case "^", "**":
		return func(x float64) float64 { return stdmath.Pow(left(x), right(x)) }, nil
	}
	return nil, refuse(n, "operator "+quote(n.Operator)+" is not known: there are + - * / ^")
}
