package export

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// Bounds of names, in bytes.
const (
	// maxLabel is that of a DNS label, and of the value of a label in Kubernetes.
	maxLabel = 63
	// maxSet leaves room for the hash that Kubernetes appends to the name of a
	// StatefulSet in a label.
	maxSet = 52
	// maxName leaves room for userPrefix in the name of a user.
	maxName = 31 - len(userPrefix)
	// maxFrontName is the graph's: names of fronts travel with each job.
	maxFrontName = 28
)

// label makes a DNS label (RFC 1123) of a name: capitals become small, and what
// is neither letter nor digit a dash. It is "" where nothing is left.
func label(s string) string {
	return strings.Trim(strings.Map(func(c rune) rune {
		switch {
		case 'A' <= c && c <= 'Z':
			return c | 0x20
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			return c
		}
		return '-'
	}, s), "-")
}

// forms of what is written into files without quotes.
var (
	binaryForm = regexp.MustCompile(`^(/[A-Za-z0-9._+@-]+)+$`)
	imageForm  = regexp.MustCompile(`^[A-Za-z0-9]+([._:/@-]+[A-Za-z0-9_]+)*$`)
)

// faults collects what keeps a graph from being exported.
type faults []graph.Problem

// flag adds a problem of a flag.
func (f *faults) flag(name, hint, format string, args ...any) {
	*f = append(*f, graph.Problem{Path: name, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// at adds a problem of an element of the graph.
func (f *faults) at(p graph.Position, path, hint, format string, args ...any) {
	*f = append(*f, graph.Problem{Position: p, Path: path, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// err returns the problems as an error, if there are any.
func (f faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return &graph.Invalid{Problems: f}
}
