package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// loadGraph reads graph files. Warnings go to the log, unless they have been
// shown; problems are an error of whoever wrote the files.
func (a *App) loadGraph(files []string, log *slog.Logger, shown bool) (*graph.Graph, error) {
	g, err := graph.Load(files, graph.Options{Workers: a.workerNames()})
	if err != nil {
		return nil, usageError{err}
	}
	if shown {
		return g, nil
	}
	for _, w := range g.Warnings {
		log.Warn(w.Message, "at", w.Position.String(), "path", w.Path, "hint", w.Hint)
	}
	return g, nil
}

// wantFiles is the Args of commands about graph files.
func wantFiles(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usagef("want a graph file, several, or a directory of them")
	}
	return nil
}

// roleFlag is a flag for parts of a graph.
type roleFlag []graph.Role

// String implements pflag.Value.
func (r *roleFlag) String() string { return "" }

// Type implements pflag.Value.
func (r *roleFlag) Type() string { return "role" }

// Set implements pflag.Value.
func (r *roleFlag) Set(s string) error {
	role, err := graph.ParseRole(s)
	if err != nil {
		return err
	}
	*r = append(*r, role)
	return nil
}

func (r *roleFlag) add(flags *pflag.FlagSet, use string) {
	flags.Var(r, "role", use+": front, front:NAME, proxy:STAGE or workers:STAGE; repeatable")
}

func (a *App) validateCommand(stdout io.Writer) *cobra.Command {
	var roles roleFlag
	var asJSON, all bool
	cmd := &cobra.Command{
		Use:   "validate FILE...",
		Short: "check a graph file and report every problem",
		Long: "Check a graph, in one file, several, or a directory of them, and report every\n" +
			"problem with its place. Exit code 0: it can be used; 1: it cannot; 2: wrong call,\n" +
			"or a file that cannot be read.",
		Example: "  " + a.Name + " validate examples/primes/primes.yaml\n  " + a.Name + " validate --all-roles service.yaml",
		Args:    wantFiles,
		RunE: func(_ *cobra.Command, files []string) error {
			problems, err := a.problems(files, roles, all)
			if err != nil {
				return usageError{err}
			}
			return report(stdout, problems, asJSON)
		},
	}
	roles.add(cmd.Flags(), "check that this part can be a process of its own")
	cmd.Flags().BoolVar(&all, "all-roles", false, "check that every part can be a process of its own")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the problems as a JSON array")
	return cmd
}

// problems returns all that is wrong with a graph.
func (a *App) problems(files []string, roles []graph.Role, all bool) ([]graph.Problem, error) {
	g, err := graph.Load(files, graph.Options{Workers: a.workerNames()})
	var invalid *graph.Invalid
	if errors.As(err, &invalid) {
		return invalid.Problems, nil
	}
	if err != nil {
		return nil, err
	}
	if all {
		roles = append(roles, g.AllRoles()...)
	}
	problems := g.CheckRoles(roles...)
	if len(problems) == 0 {
		problems = a.trial(g, len(roles) > 0)
	}
	return append(g.Warnings, problems...), nil
}

// trial makes the parts of a graph, which acquires nothing, to see whether that
// can be done.
func (a *App) trial(g *graph.Graph, apart bool) []graph.Problem {
	const anyDir = "run"
	b := builder{app: a, logs: new(logFlags)}
	s, err := b.service(g, anyDir, nil)
	switch {
	case err != nil:
	case apart || networked(g):
		_, err = s.Parts()
	default:
		_, err = s.Local()
	}
	if err != nil {
		return []graph.Problem{{Message: strings.TrimPrefix(err.Error(), "cluster: ")}}
	}
	return nil
}

// report prints problems. The error counts those that are no warnings.
func report(w io.Writer, problems []graph.Problem, asJSON bool) error {
	wrong := 0
	for _, p := range problems {
		if !p.Warning {
			wrong++
		}
	}
	if asJSON {
		if err := printJSON(w, problems); err != nil {
			return err
		}
	} else {
		for _, p := range problems {
			fmt.Fprintln(w, p)
		}
		if wrong == 0 {
			fmt.Fprintln(w, "The graph can be used.")
		}
	}
	switch wrong {
	case 0:
		return nil
	case 1:
		return errors.New("the graph has a problem")
	}
	return fmt.Errorf("the graph has %d problems", wrong)
}

// printJSON prints problems as an array of objects.
func printJSON(w io.Writer, problems []graph.Problem) error {
	type object struct {
		File    string `json:"file"`
		Line    int    `json:"line"`
		Column  int    `json:"column"`
		Path    string `json:"path"`
		Message string `json:"message"`
		Hint    string `json:"hint,omitempty"`
		Warning bool   `json:"warning"`
	}
	objects := make([]object, 0, len(problems))
	for _, p := range problems {
		objects = append(objects, object{p.Position.File, p.Position.Line, p.Position.Column, p.Path, p.Message, p.Hint, p.Warning})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(objects)
}

func (a *App) graphCommand(logs *logFlags, stdout, stderr io.Writer) *cobra.Command {
	format := "text"
	cmd := &cobra.Command{
		Use:     "graph FILE...",
		Short:   "draw a graph file",
		Example: "  " + a.Name + " graph examples/primes/primes.yaml\n  " + a.Name + " graph --format svg examples/primes/primes.yaml > primes.svg",
		Args:    wantFiles,
		RunE: func(_ *cobra.Command, files []string) error {
			log, err := logs.logger(stderr)
			if err != nil {
				return err
			}
			if !slices.Contains(graph.Formats(), graph.Format(format)) {
				return usagef("--format %q: want one of %v", format, graph.Formats())
			}
			g, err := a.loadGraph(files, log, false)
			if err != nil {
				return err
			}
			return g.Draw(stdout, graph.Format(format))
		},
	}
	cmd.Flags().StringVar(&format, "format", format, "text, dot, mermaid or svg")
	return cmd
}

func (a *App) schemaCommand(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "print the JSON Schema of graph files, for editors",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("%d arguments are too many: there are none", len(args))
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error {
			_, err := stdout.Write(graph.Schema())
			return err
		},
	}
}

// runDir is where sockets are made for endpoints that a graph leaves out.
type runDir struct {
	path string
	made bool // by us, and to be removed by us
}

// use makes the directory that was named if it is not there yet, or one where
// none was named and g leaves endpoints out.
func (d *runDir) use(g *graph.Graph) error {
	if d.path == "" && !lacksEndpoints(g) {
		return nil
	}
	if d.path != "" {
		path, err := filepath.Abs(d.path)
		if err != nil {
			return fmt.Errorf("run directory: %w", err)
		}
		d.path = path
		if err := os.MkdirAll(d.path, 0o700); err != nil {
			return fmt.Errorf("run directory: %w", err)
		}
		return nil
	}
	path, err := os.MkdirTemp(os.Getenv("XDG_RUNTIME_DIR"), "butterfly-")
	if err != nil { // the variable may be another user's, as under su
		path, err = os.MkdirTemp("", "butterfly-")
	}
	if err != nil {
		return fmt.Errorf("run directory: %w", err)
	}
	d.path, d.made = path, true
	return nil
}

func (d *runDir) remove() {
	if d.made {
		_ = os.RemoveAll(d.path)
	}
}
