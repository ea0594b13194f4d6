// Package daemon is the command line of a pipeline as a library: a program of
// a few lines, with its own workers, that runs them all in one process or each
// part as a process of its own.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/butterfly-zmq/butterfly/pipeline"
)

// App is a program: its workers, and the pipeline that it runs by default.
type App struct {
	// Name is the program's, as it is typed.
	Name string
	// Short says in a line what it does.
	Short string
	// Version is printed by --version; "": what the build says.
	Version string
	// Workers are the handlers by the name under which they are started.
	Workers map[string]pipeline.Handler
	// Stages are the pipeline that runs in one process. Requests enter by
	// the first.
	Stages []Stage
	// Simulate makes a batch of jobs for the pipeline out of the program's
	// first argument where that is no endpoint; nil: there is no such call.
	Simulate func(arg string) (*Simulation, error)
	// SimulateUse is that argument in the usage text, like "[FROM,]TO".
	SimulateUse string
}

// Stage is one stage of an App's pipeline.
type Stage struct {
	// Name is the stage's.
	Name string
	// Worker names its handler in App.Workers; "" is Name.
	Worker string
	// Next names the stages to which it may forward.
	Next []string
}

// Simulation is a batch of jobs run through the pipeline without HTTP.
type Simulation struct {
	Jobs    iter.Seq[[][]byte]                      // for the first stage
	Total   int                                     // how many those are
	Collect func(job int, o pipeline.Outcome) error // takes each outcome, one at a time; an error ends the run
	Result  func() string                           // the line to print on stdout at the end
}

// Exit codes.
const (
	exitOK    = 0
	exitRun   = 1 // it did not run, or not to its end
	exitUsage = 2 // it was called wrongly

	// exitUnusable is what a supervised part ends with that was called wrongly,
	// with a graph that cannot be used, most of all: a crash is a 2, too.
	exitUnusable = 78
)

// usageError is an error of whoever typed the command.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// unusableError is a usageError of a supervised part.
type unusableError struct{ usageError }

func (e unusableError) Unwrap() error { return e.usageError }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// Main runs the program with its command line and exits.
func (a *App) Main() {
	os.Exit(a.Execute(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// Execute runs the program with arguments, until it is done or told to stop by
// SIGINT or SIGTERM, or ctx ends. It returns the exit code: 0, 1 for what
// failed, 2 for a wrong call. Errors are one line on stderr.
func (a *App) Execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if err := a.validate(); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", a.Name, err)
		return exitRun
	}
	root := a.command(stdout, stderr)
	root.SetArgs(negatives(args))
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "%s: %v\n", a.Name, err)
	if errors.As(err, new(unusableError)) {
		return exitUnusable
	}
	var usage usageError
	if errors.As(err, &usage) {
		fmt.Fprintf(stderr, "Try '%s --help'.\n", a.Name)
		return exitUsage
	}
	return exitRun
}

// negatives lets prime_httpd's form have -1 among its arguments, where flags are
// meant by a dash: from the first such number on there are no flags.
func negatives(args []string) []string {
	if len(args) == 0 || args[0] != "front" || slices.Contains(args, "--") {
		return args
	}
	for i, arg := range args {
		positional := i >= 5 && !strings.HasPrefix(args[i-1], "-")
		if _, err := strconv.Atoi(arg); err == nil && arg[0] == '-' && positional {
			return slices.Insert(slices.Clone(args), i, "--")
		}
	}
	return args
}

func (a *App) validate() error {
	for _, s := range a.Stages {
		if a.worker(s) == nil {
			return fmt.Errorf("stage %q has no worker: App.Workers lacks %q", s.Name, s.workerName())
		}
	}
	return nil
}

func (s Stage) workerName() string {
	if s.Worker != "" {
		return s.Worker
	}
	return s.Name
}

func (a *App) worker(s Stage) pipeline.Handler { return a.Workers[s.workerName()] }

// workerNames returns the names of all workers, sorted.
func (a *App) workerNames() []string {
	names := make([]string, 0, len(a.Workers))
	for n := range a.Workers {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
