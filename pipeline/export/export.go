package export

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"text/template"

	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// Config says what the file of a graph does not.
type Config struct {
	// Name begins the names of all that is made; needed. Of a name that is no
	// DNS label one is made.
	Name string
	// Binary is the absolute path of the program: on the machine for systemd,
	// inside the images otherwise. Needed.
	Binary string
	// Image is run by fronts, proxies, and workers in Go; needed for containers.
	Image string
	// Images are run by the workers of stages instead, by the stages' names. The
	// program has to be in them too. A stage with a command and no image here
	// has one made up, to be built.
	Images map[string]string
	// Replicas is how many there are of each front of the graph, MaxFronts of all
	// at most; 0 is 1. On one machine under systemd there is one of each.
	Replicas int
}

// MaxFronts is how many fronts a graph may have.
const MaxFronts = 100

// File is a file to be written.
type File struct {
	// Name is a plain name, without a directory.
	Name string
	Data []byte
}

//go:embed templates
var templates embed.FS

// render returns a file made of one of the templates.
func render(name, text string, view any) (File, error) {
	t, err := template.New(text).Funcs(template.FuncMap{"quote": quote}).ParseFS(templates, "templates/*")
	if err != nil {
		return File{}, fmt.Errorf("export: %w", err)
	}
	var out bytes.Buffer
	if err := t.Option("missingkey=error").Execute(&out, view); err != nil {
		return File{}, fmt.Errorf("export: %w", err)
	}
	return File{name, out.Bytes()}, nil
}

// quote returns text as JSON has it, which is YAML too.
func quote(s string) (string, error) {
	b, err := json.Marshal(s)
	return string(b), err
}

// encode returns the graph's own file, if those who are to read it can.
func encode(name string, g *graph.Graph) (File, error) {
	data, err := g.Encode()
	if err != nil {
		return File{}, fmt.Errorf("export: %w", err)
	}
	if len(data) > graph.MaxFile {
		return File{}, &graph.Invalid{Problems: []graph.Problem{{
			Message: fmt.Sprintf("the graph as one file has %d bytes, at most %d are read", len(data), graph.MaxFile),
			Hint:    "aliases and variables are written out in it",
		}}}
	}
	return File{name, data}, nil
}
