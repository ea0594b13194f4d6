package daemon

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/butterfly-zmq/butterfly/pipeline/export"
	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// exportFlags are the flags of deployment files.
type exportFlags struct {
	output string
	force  bool
	config export.Config
	images stageImages
}

// exportTarget is what a graph can be exported to.
type exportTarget struct {
	name, short string
	bin         string // directory of the program, on the machine or in images
	images      bool   // whether it runs images
	files       func(*graph.Graph, export.Config) ([]export.File, error)
}

func (a *App) exportCommand(logs *logFlags, stdout, stderr io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export TARGET FILE...",
		Short: "make deployment files of a graph file",
		Args: func(*cobra.Command, []string) error {
			return usagef("want what to export to: systemd, kubernetes or compose")
		},
		RunE: func(*cobra.Command, []string) error { return nil }, // Args has refused all
	}
	for _, to := range []exportTarget{
		{"systemd", "units for one machine", "/usr/local/bin/", false, export.Systemd},
		{"kubernetes", "a kustomize set", "/", true, export.Kubernetes},
		{"compose", "a file for docker compose", "/", true, export.Compose},
	} {
		cmd.AddCommand(a.exportTo(to, logs, stdout, stderr))
	}
	return cmd
}

// exportTo returns the command of one target.
func (a *App) exportTo(to exportTarget, logs *logFlags, stdout, stderr io.Writer) *cobra.Command {
	f := exportFlags{config: export.Config{Binary: to.bin + a.Name, Image: a.Name + ":latest", Replicas: 1}}
	cmd := &cobra.Command{
		Use:     to.name + " FILE...",
		Short:   to.short,
		Long:    "Make " + to.short + " of a graph: each part of it is a process of its own.",
		Example: "  " + a.Name + " export " + to.name + " service.yaml --output deploy/" + to.name,
		Args:    wantFiles,
		RunE: func(_ *cobra.Command, files []string) error {
			log, err := logs.logger(stderr)
			if err != nil {
				return err
			}
			g, err := a.loadGraph(files, log, false)
			if err != nil {
				return err
			}
			return f.run(g, files[0], to, stdout)
		},
	}
	f.add(cmd.Flags(), to)
	return cmd
}

func (f *exportFlags) add(flags *pflag.FlagSet, to exportTarget) {
	flags.StringVar(&f.output, "output", "", "`directory` for the files, made if it is not there; without it they go to stdout")
	flags.BoolVar(&f.force, "force", false, "overwrite files that are there")
	flags.StringVar(&f.config.Name, "name", "", "begins the names of all that is made; the default is the graph file's name")
	flags.StringVar(&f.config.Binary, "binary", f.config.Binary, "`path` of this program where it will run")
	if to.images {
		flags.StringVar(&f.config.Image, "image", f.config.Image, "image with this program")
		flags.Var(&f.images, "image-of", "image with this program and a stage's worker program; repeatable")
		flags.IntVar(&f.config.Replicas, "fronts", f.config.Replicas, "how many of each front")
	}
}

// run exports a graph, whose first file gives the name where no other is given.
func (f *exportFlags) run(g *graph.Graph, file string, to exportTarget, stdout io.Writer) error {
	if f.config.Replicas < 1 {
		return usagef("--fronts %d: want 1 at least", f.config.Replicas)
	}
	if f.config.Name == "" {
		name, err := serviceName(file)
		if err != nil {
			return err
		}
		f.config.Name = name
	}
	f.config.Images = f.images.byStage
	made, err := to.files(g, f.config)
	if invalid, ok := errors.AsType[*graph.Invalid](err); ok {
		return usageError{invalid}
	}
	if err != nil {
		return err
	}
	if f.output == "" {
		return printFiles(stdout, made)
	}
	return writeFiles(f.output, made, f.force)
}

// serviceName returns the name of a service whose graph is in a file or
// directory.
func serviceName(file string) (string, error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return "", fmt.Errorf("export: %w", err)
	}
	name := filepath.Base(path)
	return strings.TrimSuffix(name, filepath.Ext(name)), nil
}

// printFiles writes files one after the other, each under its name.
func printFiles(w io.Writer, files []export.File) error {
	for _, f := range files {
		if _, err := fmt.Fprintf(w, "# file: %s\n%s\n", f.Name, f.Data); err != nil {
			return fmt.Errorf("export: %w", err)
		}
	}
	return nil
}

// writeFiles writes all files into a directory, or none if one is there already
// and may not be overwritten.
func writeFiles(dir string, files []export.File, overwrite bool) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	var there []string
	for _, f := range files {
		if _, err := os.Lstat(filepath.Join(dir, f.Name)); !errors.Is(err, fs.ErrNotExist) {
			there = append(there, f.Name)
		}
	}
	if len(there) > 0 && !overwrite {
		return usagef("in %s there is already %s: --force overwrites", dir, strings.Join(there, ", "))
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o644); err != nil {
			return fmt.Errorf("export: %w", err)
		}
	}
	return nil
}

// stageImages is a flag for the images of stages.
type stageImages struct {
	byStage map[string]string
}

// String implements pflag.Value.
func (*stageImages) String() string { return "" }

// Type implements pflag.Value.
func (*stageImages) Type() string { return "STAGE=IMAGE" }

// Set implements pflag.Value.
func (i *stageImages) Set(s string) error {
	stage, image, named := strings.Cut(s, "=")
	if !named || stage == "" || image == "" {
		return fmt.Errorf("%q: want STAGE=IMAGE", s)
	}
	if _, twice := i.byStage[stage]; twice {
		return fmt.Errorf("stage %q has two images", stage)
	}
	if i.byStage == nil {
		i.byStage = make(map[string]string)
	}
	i.byStage[stage] = image
	return nil
}
