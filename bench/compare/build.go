package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
)

const module = "github.com/butterfly-zmq/butterfly"

// packages says where each program comes from.
var packages = map[string]string{
	bareProgram: module + "/bench/bare",
	loadProgram: module + "/bench/load",
	serverd:     module + "/cmd/prime-serverd",
}

// build puts the programs that the contestants need, and the load, into dir and
// returns their paths. A path given for prime-serverd is taken as it is.
func build(ctx context.Context, dir, given string, chosen []contestant) (map[string]string, error) {
	paths := map[string]string{}
	args := []string{"build", "-o", dir + string(filepath.Separator)}
	for _, name := range needed(chosen) {
		if name == serverd && given != "" {
			paths[name] = given
			continue
		}
		paths[name] = filepath.Join(dir, name)
		if runtime.GOOS == "windows" {
			paths[name] += ".exe"
		}
		args = append(args, packages[name])
	}
	if output, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build %v: %w\n%s", args[3:], err, output)
	}
	return paths, nil
}

// needed returns the programs of the contestants, each once, and the load.
func needed(chosen []contestant) []string {
	names := []string{loadProgram}
	seen := map[string]bool{}
	for _, c := range chosen {
		for _, p := range c.parts(place{}) {
			if !seen[p.program] {
				seen[p.program] = true
				names = append(names, p.program)
			}
		}
	}
	return names
}
