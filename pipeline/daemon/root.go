package daemon

import (
	"io"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// command returns the program's root command: the whole pipeline in one
// process, in butterfly's own form, in prime_server's, or as a simulation.
func (a *App) command(stdout, stderr io.Writer) *cobra.Command {
	var logs logFlags
	demo := demoFlags{listen: defaultListen, http: defaultHTTP()}
	root := &cobra.Command{
		Use:           a.use(),
		Short:         a.Short,
		Long:          a.long(),
		Example:       a.example(),
		Version:       a.version(),
		Args:          cobra.ArbitraryArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, args []string) error {
			log, err := logs.logger(stderr)
			if err != nil {
				return err
			}
			switch {
			case len(args) == 0:
				return a.demo(cmd.Context(), demo, log, stdout)
			case strings.Contains(args[0], "://"):
				return a.primeServer(cmd, args, demo, log, stdout)
			default:
				return a.simulation(cmd, args, demo, log, stdout, stderr)
			}
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.CompletionOptions.HiddenDefaultCmd = true
	logs.add(root.PersistentFlags())
	demo.add(root.Flags())
	root.AddCommand(
		a.runCommand(&logs, stdout, stderr), a.upCommand(&logs, stdout, stderr),
		a.validateCommand(stdout), a.graphCommand(&logs, stdout, stderr), a.schemaCommand(stdout),
		a.frontCommand(&logs, stdout, stderr), a.proxyCommand(&logs, stderr), a.workerCommand(&logs, stderr),
		a.exportCommand(&logs, stdout, stderr), a.probeCommand(),
	)
	return root
}

func (a *App) use() string {
	use := a.Name + " [LISTEN [WORKERS [DRAIN_SECONDS [HEALTH_PATH]]]]"
	if a.Simulate != nil {
		use += " | " + a.SimulateUse + " [WORKERS]"
	}
	return use
}

func (a *App) long() string {
	text := a.Short + "\n\nWithout arguments the whole pipeline runs in this process behind HTTP. With an\n" +
		"endpoint like tcp://*:8002 it does so in prime_server's form, with its defaults."
	if a.Simulate != nil {
		text += " With\n" + a.SimulateUse + " it runs a batch of jobs through the pipeline without HTTP."
	}
	return text
}

func (a *App) example() string {
	examples := []string{a.Name + " --listen 127.0.0.1:8002", a.Name + " 'tcp://*:8002' 8 28 /health"}
	if a.Simulate != nil {
		examples = append(examples, a.Name+" 100000 4")
	}
	return "  " + strings.Join(examples, "\n  ")
}

func (a *App) version() string {
	if a.Version != "" {
		return a.Version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// simulation runs the form SIMULATION [WORKERS], or says that the first
// argument is no command either.
func (a *App) simulation(cmd *cobra.Command, args []string, demo demoFlags, logger *slog.Logger, stdout, stderr io.Writer) error {
	if a.Simulate == nil || !startsLikeNumber(args[0]) {
		return usagef("unknown command %q", args[0])
	}
	if len(args) > 2 {
		return usagef("%d arguments are too many: want %s [WORKERS]", len(args), a.SimulateUse)
	}
	workers := demo.workers
	if len(args) == 2 {
		var err error
		if workers, err = parseWorkers(args[1]); err != nil {
			return err
		}
	}
	return a.simulate(cmd.Context(), args[0], orCores(workers), logger, stdout, stderr)
}

// startsLikeNumber tells a wrong number from a wrong command.
func startsLikeNumber(s string) bool {
	return s != "" && strings.ContainsRune("0123456789+-,", rune(s[0]))
}

// maxWorkers bounds what is taken for a number of workers.
const maxWorkers = 4096

func parseWorkers(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxWorkers {
		return 0, usagef("%q is no number of workers: want 1 to %d", s, maxWorkers)
	}
	return n, nil
}

func orCores(workers int) int {
	if workers == 0 {
		return runtime.GOMAXPROCS(0)
	}
	return workers
}
