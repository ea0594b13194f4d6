package trial

import (
	_ "embed" // the worker program
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

// Script is the worker program of the stage Note.
//
//go:embed note.py
var Script string

//go:embed graph.yaml
var graphText string

// At is a pair of endpoints: where a part binds, and where others connect.
type At struct{ Bind, Connect string }

// Front is a front of the service.
type Front struct {
	Name                string
	Listen              string // host:port
	Loopback, Interrupt At
}

// Stage is a stage of the service, with the endpoints of its proxies, one or
// several.
type Stage struct {
	Name                 string
	Upstream, Downstream []At
}

// Proxies says how many proxies each stage has: the one that jobs enter again and
// again has several.
func Proxies(stage string) int {
	if stage == Turn {
		return 2
	}
	return 1
}

// Graph says what the service's graph file is to be.
type Graph struct {
	Fronts []Front
	Stages map[string]Stage
	// Script is the path of the worker program of Note, Library the folder with
	// the Python module that it needs; without Library the stage is a Go worker.
	Script, Library string
	// Journal is the path of the journal.
	Journal string
	// Timeout is how long an answer may take, Visit how long a worker may take
	// for a job, Drain how long stopping may take, StreamIdle how long the next
	// part of a stream may.
	Timeout, Visit, Drain, StreamIdle time.Duration
	// MaxPending bounds the requests of each front; 0: the default.
	MaxPending int
	// Count is the workers of each Go stage in a process, Programs the processes
	// of Note.
	Count, Programs int
}

// StageNames returns the names of all stages.
func StageNames() []string { return []string{Entry, Turn, Note, Sum} }

// Text returns the graph file.
func (g *Graph) Text() (string, error) {
	t, err := template.New("graph").Option("missingkey=error").Parse(graphText)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, g)
	return b.String(), err
}

// Library returns the folder with the Python module in the repository that dir
// is in.
func Library(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for {
		at := filepath.Join(dir, "examples", "python")
		if _, err := os.Stat(filepath.Join(at, "butterfly", "__init__.py")); err == nil {
			return at, nil
		}
		if filepath.Dir(dir) == dir {
			return "", fmt.Errorf("examples/python: %w", errNotInRepository)
		}
		dir = filepath.Dir(dir)
	}
}

var errNotInRepository = errors.New("run this inside a clone of the repository")
