package graph

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Position is a place in a file. Lines and columns count from 1; 0 is unknown.
type Position struct {
	File         string
	Line, Column int
}

// String returns file:line:column, without what is unknown.
func (p Position) String() string {
	s := p.File
	for _, n := range [...]int{p.Line, p.Column} {
		if n == 0 {
			break
		}
		s += ":" + strconv.Itoa(n)
	}
	return s
}

// Problem is something wrong with a graph.
type Problem struct {
	Position Position
	// Path leads to the value within its file, like stages.parse.next[0]; "" is
	// the file as a whole.
	Path string
	// Message says what is wrong, Hint what to do about it; Hint may be "".
	Message, Hint string
	// Warning is something that may be meant.
	Warning bool
}

// String returns the problem in one line:
//
//	file:line:column: path: message (hint)
func (p Problem) String() string {
	parts := make([]string, 0, 4)
	if at := p.Position.String(); at != "" {
		parts = append(parts, at)
	}
	if p.Warning {
		parts = append(parts, "warning")
	}
	if p.Path != "" {
		parts = append(parts, p.Path)
	}
	s := strings.Join(append(parts, p.Message), ": ")
	if p.Hint != "" {
		s += " (" + p.Hint + ")"
	}
	return s
}

// Invalid is the error of a graph that cannot be used.
type Invalid struct {
	// Problems are all that was found, in the order of the files, warnings
	// included. At least one is no warning.
	Problems []Problem
}

// Error returns one line for each problem.
func (e *Invalid) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// sortProblems orders problems by their places; files stay in the order given.
func sortProblems(ps []Problem, files []File) {
	order := make(map[string]int, len(files))
	for i, f := range files {
		order[f.Name] = i
	}
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(order[a.Position.File], order[b.Position.File]),
			cmp.Compare(a.Position.Line, b.Position.Line),
			cmp.Compare(a.Position.Column, b.Position.Column),
		)
	})
}

// origin is where an element came from: the path to it, and the places of what
// is below it, by the rest of their paths. It is empty for elements that were
// not loaded.
type origin struct {
	path   string
	places map[string]Position
	flawed bool // something in it was wrong and has been reported
}

// below returns a problem of what is below the element, like ".next[0]".
func (o *origin) below(element Position, rest, message, hint string) Problem {
	at, ok := o.places[rest]
	if !ok {
		at = element
	}
	return Problem{Position: at, Path: o.path + rest, Message: message, Hint: hint}
}

// has reports whether the file says something there.
func (o *origin) has(rest string) bool {
	_, ok := o.places[rest]
	return ok
}
