package cluster

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/mtls"
	"github.com/butterfly-zmq/butterfly/internal/supervise"
	"github.com/butterfly-zmq/butterfly/internal/transport"
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
	// Spool are the directories in which fronts put large bodies.
	Spool []string
	// Grace is how long a program may take to finish its job when told to
	// stop; 0: supervise.DefaultGrace.
	Grace time.Duration
	// MaxAge is how long a process runs, a tenth more or less, until it is asked
	// to end and another takes its place, one of the stage's at a time; 0: for
	// ever.
	MaxAge time.Duration
	// Status is the upstream endpoint of the stage, where its proxy tells which
	// processes do not come back from a job in time: they are ended and started
	// again. Of several proxies they are named with commas between. Empty: they
	// are left alone.
	Status string
	// MTLS is who we are at Status, if that is a tls+tcp endpoint, and who may be
	// there. The programs speak plain ZeroMQ.
	MTLS *MTLS
	// Transport bounds the connection to Status.
	Transport transport.Options
	// LogLevel is passed on to the programs.
	LogLevel string
	// Output returns the writer for one process's lines; nil: they are dropped.
	Output func(process string) io.Writer
	// Metrics of this process; nil: the programs are not measured.
	Metrics *Metrics
	// Logger gets starts and ends; nil: nothing.
	Logger *slog.Logger
}

// Programs are worker programs of one stage, each started again when it ends,
// hangs, or gets too old. They are a Part.
type Programs struct {
	*Group
	maxAge    time.Duration
	processes []*program
	watch     *stuckWatch    // nil: nobody watches
	id        *mtls.Identity // of watch; nil: it wants none
	started   chan struct{}
}

// program is one process of several, and those that took its place.
type program struct {
	keeper *supervise.Keeper

	mu       sync.Mutex // guards the fields below
	instance uint64     // by which it announces itself
	pid      int        // 0: it has not been started with this instance yet
	due      time.Time  // when another takes its place
}

// NewPrograms validates cfg and starts nothing.
func NewPrograms(cfg ProgramsConfig) (*Programs, error) {
	if cfg.Count == 0 {
		cfg.Count = 1
	}
	if cfg.Count < 0 {
		return nil, fmt.Errorf("cluster: stage %q has %d worker programs", cfg.Stage, cfg.Count)
	}
	if err := cfg.checkEndpoints(); err != nil {
		return nil, err
	}
	if cfg.MaxAge < 0 {
		return nil, fmt.Errorf("cluster: stage %q: max age %v is negative", cfg.Stage, cfg.MaxAge)
	}
	p := &Programs{maxAge: cfg.MaxAge, started: make(chan struct{}, 1)}
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
		process := &program{}
		k, err := supervise.New(supervise.Config{
			Name:    name,
			Command: cfg.Command,
			Env:     cfg.environment(n),
			Output:  out,
			Grace:   cfg.Grace,
			Fresh:   process.fresh,
			Started: func(pid int) { p.note(process, pid) },
			Logger:  cfg.Logger,
		})
		if err != nil {
			return nil, fmt.Errorf("cluster: stage %q: %w", cfg.Stage, err)
		}
		process.keeper = k
		p.processes = append(p.processes, process)
		keepers = append(keepers, k)
	}
	p.Group = NewGroup(keepers)
	err := cfg.Metrics.programs(cfg.Stage, p)
	if err != nil || cfg.Status == "" {
		return p, err
	}
	if p.id, err = mtls.Optional(cfg.MTLS, cfg.Logger); err != nil {
		return nil, fmt.Errorf("cluster: stage %q: %w", cfg.Stage, err)
	}
	cfg.Transport.TLS = p.id
	p.watch, err = newStuckWatch(cfg, p.processes)
	return p, err
}

// reading returns how the processes are.
func (p *Programs) reading() (r programsReading) {
	r.kept = len(p.processes)
	for _, process := range p.processes {
		r.starts += process.keeper.Starts()
		if process.keeper.Running() {
			r.running++
		}
	}
	return r
}

// fresh returns the environment of the next process alone: the instance by which
// the proxy and we know it.
func (p *program) fresh() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.instance, p.pid = newProgramInstance(), 0
	return []string{fmt.Sprintf("BUTTERFLY_INSTANCE=%016x", p.instance)}
}

// newProgramInstance returns a random number without a zero byte: libzmq takes
// the bytes of a property for text.
func newProgramInstance() (n uint64) {
	for range 8 {
		n = n<<8 | uint64(1+rand.IntN(255))
	}
	return n
}

// note takes note of a start.
func (p *Programs) note(process *program, pid int) {
	process.mu.Lock()
	process.pid = pid
	if p.maxAge > 0 {
		process.due = time.Now().Add(vary(p.maxAge))
	}
	process.mu.Unlock()
	select {
	case p.started <- struct{}{}:
	default:
	}
}

// vary returns a duration with up to a tenth more or less, so that processes
// which were started together do not end together.
func vary(d time.Duration) time.Duration {
	return d - d/10 + time.Duration(rand.Int64N(int64(d/5)+1))
}

// Run keeps the programs running until Shutdown has ended, or ctx ends, which
// kills them. It joins all that it started. It may run once.
func (p *Programs) Run(ctx context.Context) error {
	if err := p.id.Load(); err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	beside, cancel := context.WithCancel(ctx)
	var parts sync.WaitGroup
	defer parts.Wait()
	defer cancel()
	if p.maxAge > 0 {
		parts.Go(func() { p.renew(beside) })
	}
	if p.watch != nil {
		parts.Go(func() { p.watch.run(beside) })
	}
	return p.Group.Run(ctx)
}

// renew replaces processes that get too old, one after the other.
func (p *Programs) renew(ctx context.Context) {
	for {
		var wait <-chan time.Time
		next, due := p.oldest()
		if next != nil {
			wait = time.After(time.Until(due))
		}
		select {
		case <-ctx.Done():
			return
		case <-p.started:
		case <-wait:
			if next.keeper.Replace(ctx) != nil {
				return
			}
		}
	}
}

// oldest returns the process that is due first, nil if none has been started.
func (p *Programs) oldest() (next *program, due time.Time) {
	for _, process := range p.processes {
		process.mu.Lock()
		at := process.due
		process.mu.Unlock()
		if !at.IsZero() && (next == nil || at.Before(due)) {
			next, due = process, at
		}
	}
	return next, due
}

// checkEndpoints refuses endpoints that cannot be told in a list, and those that
// programs cannot connect to.
func (c *ProgramsConfig) checkEndpoints() error {
	all := slices.Clone(c.Interrupts)
	for _, f := range c.Fronts {
		all = append(all, f.Endpoint)
	}
	for _, endpoint := range slices.Concat(all, loopback.Endpoints(c.Upstream), slices.Collect(maps.Values(c.Next))) {
		if IsTLS(endpoint) {
			return fmt.Errorf("cluster: the worker programs of stage %q speak plain ZeroMQ, which %q is not", c.Stage, endpoint)
		}
	}
	for _, endpoint := range all {
		if strings.Contains(endpoint, ",") {
			return fmt.Errorf("cluster: the worker programs of stage %q get lists with commas between endpoints: name one without a comma in place of %q", c.Stage, endpoint)
		}
	}
	return nil
}

// environment is what process number n is told.
func (c *ProgramsConfig) environment(n int) []string {
	var env []string
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		env = append(env, name+"="+c.Env[name])
	}
	var next, fronts []string
	for _, stage := range slices.Sorted(maps.Keys(c.Next)) {
		for _, endpoint := range loopback.Endpoints(c.Next[stage]) {
			next = append(next, stage+"="+endpoint)
		}
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
		"BUTTERFLY_SPOOL="+strings.Join(c.Spool, ","),
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
