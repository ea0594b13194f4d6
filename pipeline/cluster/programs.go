package cluster

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/supervise"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// ProgramsConfig says which worker programs serve a stage. What they are told
// by their environment is described in docs/protocol.md.
type ProgramsConfig struct {
	// Stage is the stage's name.
	Stage string
	// Command is the program with its arguments; Env is added to its
	// environment.
	Command []string
	Env     map[string]string
	// Count is the number of processes; 0: one.
	Count int
	// Upstream, Next, Fronts and Interrupts are what pipeline.WorkerConfig
	// has under these names.
	Upstream   string
	Next       map[string]string
	Fronts     []loopback.FrontEndpoint
	Interrupts []string
	// Grace is how long a program may take to finish its job when told to
	// stop; 0: supervise.DefaultGrace.
	Grace time.Duration
	// LogLevel is passed on to the programs.
	LogLevel string
	// Output returns the writer for one process's lines; nil: they are dropped.
	Output func(process string) io.Writer
	// Logger gets starts and ends; nil: nothing.
	Logger *slog.Logger
}

// Programs are worker programs of one stage, each started again when it ends.
// They are a Part.
type Programs struct{ *Group }

// NewPrograms validates cfg and starts nothing.
func NewPrograms(cfg ProgramsConfig) (*Programs, error) {
	if cfg.Count == 0 {
		cfg.Count = 1
	}
	if cfg.Count < 0 {
		return nil, fmt.Errorf("cluster: stage %q has %d worker programs", cfg.Stage, cfg.Count)
	}
	var keepers []Part
	for n := range cfg.Count {
		name := cfg.Stage
		if cfg.Count > 1 {
			name += "." + strconv.Itoa(n)
		}
		var out io.Writer
		if cfg.Output != nil {
			out = cfg.Output(name)
		}
		k, err := supervise.New(supervise.Config{
			Name:    name,
			Command: cfg.Command,
			Env:     cfg.environment(n),
			Output:  out,
			Grace:   cfg.Grace,
			Logger:  cfg.Logger,
		})
		if err != nil {
			return nil, fmt.Errorf("cluster: stage %q: %w", cfg.Stage, err)
		}
		keepers = append(keepers, k)
	}
	return &Programs{NewGroup(keepers)}, nil
}

// environment is what process number n is told.
func (c *ProgramsConfig) environment(n int) []string {
	var env []string
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		env = append(env, name+"="+c.Env[name])
	}
	var next, fronts []string
	for _, stage := range slices.Sorted(maps.Keys(c.Next)) {
		next = append(next, stage+"="+c.Next[stage])
	}
	for _, f := range c.Fronts {
		fronts = append(fronts, f.Name+"="+f.Endpoint)
	}
	return append(env,
		"BUTTERFLY_STAGE="+c.Stage,
		"BUTTERFLY_SLOT="+strconv.Itoa(n),
		"BUTTERFLY_UPSTREAM_PROXY="+c.Upstream,
		"BUTTERFLY_DOWNSTREAM_PROXY="+strings.Join(next, ","),
		"BUTTERFLY_LOOPBACK="+strings.Join(fronts, ","),
		"BUTTERFLY_INTERRUPT="+strings.Join(c.Interrupts, ","),
		"BUTTERFLY_LOG_LEVEL="+c.LogLevel,
	)
}

// ProgramConfig says what program is kept running, and how.
type ProgramConfig = supervise.Config

// NewProgram returns a program as a Part: it is started again when it ends. It
// validates and starts nothing.
func NewProgram(cfg ProgramConfig) (Part, error) { return supervise.New(cfg) }

// Prefixes returns a maker of writers that put a prefix before each line and
// share w: lines of several programs do not mix.
func Prefixes(w io.Writer) func(prefix string) io.Writer { return supervise.Prefixes(w) }
