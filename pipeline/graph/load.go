package graph

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Bounds of what is read.
const (
	MaxFile  = 1 << 20 // bytes of a file
	maxFiles = 256
)

// Options say what a graph is checked against.
type Options struct {
	// LookupEnv returns an environment variable and whether it is set; nil is
	// os.LookupEnv.
	LookupEnv func(string) (string, bool)
	// Workers are the names of the Go workers there are; nil does not check.
	Workers []string
}

// File is the text of a file, and its name for messages.
type File struct {
	Name string
	Data []byte
}

// Load reads a graph of files and directories, which compose: stages and routes
// are put together in the order of paths, front, fronts and limits are in one
// file only. Of a directory the files *.yaml and *.yml are read, in the order of
// their names.
//
// The error is an *Invalid with all problems where the files can be read and
// the graph cannot be used.
func Load(paths []string, o Options) (*Graph, error) {
	names, err := fileNames(paths)
	if err != nil {
		return nil, err
	}
	files := make([]File, 0, len(names))
	for _, name := range names {
		data, err := readFile(name)
		if err != nil {
			return nil, fmt.Errorf("graph: %w", err)
		}
		files = append(files, File{name, data})
	}
	return Parse(files, o)
}

// shortened returns the first problems, and that there are more.
func shortened(problems []Problem) []Problem {
	if len(problems) <= maxProblems {
		return problems
	}
	rest := problems[maxProblems:]
	more := Problem{Position: rest[0].Position, Message: "there are more problems from here on"}
	more.Warning = !slices.ContainsFunc(rest, func(p Problem) bool { return !p.Warning })
	return append(problems[:maxProblems:maxProblems], more)
}

// fileNames returns the files that paths stand for.
func fileNames(paths []string) ([]string, error) {
	var names []string
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return nil, fmt.Errorf("graph: %w", err)
		case !info.IsDir():
			names = append(names, path)
			continue
		}
		entries, err := os.ReadDir(path) // sorted
		if err != nil {
			return nil, fmt.Errorf("graph: %w", err)
		}
		before := len(names)
		for _, e := range entries {
			if ext := filepath.Ext(e.Name()); !e.IsDir() && !strings.HasPrefix(e.Name(), ".") && (ext == ".yaml" || ext == ".yml") {
				names = append(names, filepath.Join(path, e.Name()))
			}
		}
		if len(names) == before {
			return nil, fmt.Errorf("graph: directory %s has no *.yaml and no *.yml", path)
		}
	}
	switch {
	case len(names) == 0:
		return nil, errors.New("graph: no file is named")
	case len(names) > maxFiles:
		return nil, fmt.Errorf("graph: %d files, at most %d are read", len(names), maxFiles)
	}
	return names, nil
}

// readFile reads no more than shows that a file is too large.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxFile+1))
}

// Parse makes a graph of the texts of files, as Load does. It reads nothing but
// the environment.
func Parse(files []File, o Options) (*Graph, error) {
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	if len(files) == 0 {
		return nil, errors.New("graph: no file is named")
	}
	var documents []document
	var problems []Problem
	unread := false
	for _, f := range files {
		root, wrong := parse(f)
		if wrong != nil {
			problems, unread = append(problems, *wrong), true
			continue
		}
		r := newReader(f.Name, o.LookupEnv)
		documents = append(documents, readDocument(r.root(root)))
		unread = unread || root.Kind != yaml.MappingNode
		problems = append(problems, r.problems...)
	}
	top := Position{File: files[0].Name, Line: 1}
	g, at, more := compose(documents, top)
	problems = append(problems, more...)
	if !unread { // what is missing may be in the file that could not be read
		flawed := slices.ContainsFunc(documents, func(d document) bool { return d.flawed })
		problems = append(problems, g.check(top, at, flawed, o)...)
	}
	sortProblems(problems, files)
	problems = shortened(problems)
	if slices.ContainsFunc(problems, func(p Problem) bool { return !p.Warning }) {
		return nil, &Invalid{problems}
	}
	g.Warnings = problems
	return g, nil
}
