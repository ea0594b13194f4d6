//go:build linux

package rig

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/butterfly-zmq/butterfly/bench/internal/parts"
	"github.com/butterfly-zmq/butterfly/bench/internal/trial"
)

// partWord is the first argument of a process that is a part.
const partWord = "trial-part"

// plantVariable tells parts of a mistake that they are to make.
const plantVariable = "TRIAL_PLANT"

// Program returns the command that makes this program a part, for one whose main
// function is Main, or begins with PartMain.
func Program() ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	return []string{self, partWord}, nil
}

// Main is the main function of a program that runs the service, be it as one of its
// parts. An interrupt ends run's context. The exit code is 2 for a wrong command line,
// and 1 if run fails.
func Main[O any](name string, parse func(args []string, stderr io.Writer) (O, error), run func(ctx context.Context, o O, stdout, stderr io.Writer) error) {
	PartMain()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(2)
	}
	if err := run(ctx, o, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(1)
	}
}

// PartMain does not return if this process is a part of the service.
func PartMain() {
	if len(os.Args) < 3 || os.Args[1] != partWord {
		return
	}
	dir := os.Args[2]
	if err := parts.ServeProbe(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Args = append(os.Args[:1], os.Args[3:]...)
	trial.App(filepath.Join(dir, "journal"), trial.Plant(os.Getenv(plantVariable))).Main()
}
