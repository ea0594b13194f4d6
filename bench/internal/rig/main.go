//go:build linux

package rig

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/butterfly-zmq/butterfly/bench/internal/parts"
	"github.com/butterfly-zmq/butterfly/bench/internal/trial"
)

// partWord is the first argument of a process that is a part.
const partWord = "trial-part"

// plantVariable tells parts of a mistake that they are to make.
const plantVariable = "TRIAL_PLANT"

// Program returns the command that makes this program a part, for one whose main
// function begins with PartMain.
func Program() ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	return []string{self, partWord}, nil
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
