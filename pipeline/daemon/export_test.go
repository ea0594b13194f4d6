package daemon_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/daemon"
)

// greeterGraph is a graph whose worker the program of runGreeter has.
const greeterGraph = `version: 1
routes: [{prefix: /, stage: greet}]
stages:
  greet: {worker: greet, next: [shout]}
  shout: {command: [./shout]}
`

// runGreeter runs a program's command line.
func runGreeter(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	app := &daemon.App{
		Name:    "greeter",
		Workers: map[string]pipeline.Handler{"greet": pipeline.HandlerFunc(greet)},
		Stages:  []daemon.Stage{{Name: "greet"}},
	}
	var out, errs bytes.Buffer
	code = app.Execute(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

// graphFile writes a graph to a file of its own.
func graphFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "my-service.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

func fileNames(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestExportWritesFiles(t *testing.T) {
	file := graphFile(t, greeterGraph)
	for target, want := range map[string][]string{
		"systemd": {"my-service-front.service", "my-service-proxy-greet.service", "my-service-proxy-shout.service",
			"my-service-workers-greet.service", "my-service-workers-shout.service", "my-service.target", "my-service.yaml"},
		"kubernetes": {"front.yaml", "graph.yaml", "kustomization.yaml", "stage-greet.yaml", "stage-shout.yaml"},
		"compose":    {"compose.yaml", "graph.yaml"},
	} {
		dir := filepath.Join(t.TempDir(), "new", target)
		code, out, errs := runGreeter(t, "export", target, file, "--output", dir)
		require.Zero(t, code, errs)
		assert.Empty(t, out)
		assert.Equal(t, want, fileNames(t, dir))
	}
}

// Without a directory the same files come one after the other.
func TestExportPrintsFiles(t *testing.T) {
	file, dir := graphFile(t, greeterGraph), t.TempDir()
	args := []string{"export", "compose", file, "--name", "other", "--image", "greeter:1", "--image-of", "shout=shout:2", "--fronts", "3", "--binary", "/bin/greeter"}
	code, out, errs := runGreeter(t, args...)
	require.Zero(t, code, errs)
	code, _, errs = runGreeter(t, append(args, "--output", dir)...)
	require.Zero(t, code, errs)
	parts := regexp.MustCompile(`(?m)^# file: (.*)\n`).FindAllStringSubmatch(out, -1)
	require.Len(t, parts, 2)
	for _, p := range parts {
		data, err := os.ReadFile(filepath.Join(dir, p[1]))
		require.NoError(t, err)
		assert.Contains(t, out, p[0]+string(data))
	}
	for _, said := range []string{`name: "other"`, `image: "greeter:1"`, `image: "shout:2"`, `"front:front-2"`, `entrypoint: ["/bin/greeter"]`} {
		assert.Contains(t, out, said)
	}
}

func TestExportOverwritesOnlyIfTold(t *testing.T) {
	file, dir := graphFile(t, greeterGraph), t.TempDir()
	old := filepath.Join(dir, "graph.yaml")
	require.NoError(t, os.WriteFile(old, []byte("mine"), 0o600))
	code, _, errs := runGreeter(t, "export", "compose", file, "--output", dir)
	assert.Equal(t, 2, code)
	assert.Contains(t, errs, "in "+dir+" there is already graph.yaml: --force overwrites")
	assert.Equal(t, []string{"graph.yaml"}, fileNames(t, dir), "nothing is half done")

	code, _, errs = runGreeter(t, "export", "compose", file, "--output", dir, "--force")
	assert.Zero(t, code, errs)
	data, err := os.ReadFile(old)
	require.NoError(t, err)
	assert.Contains(t, string(data), "version: 1")
}

func TestExportRefusesWrongCalls(t *testing.T) {
	file := graphFile(t, greeterGraph)
	for want, args := range map[string][]string{
		"want what to export to: systemd, kubernetes or compose": {},
		"want a graph file":                 {"compose"},
		"unknown flag: --fronts":            {"systemd", file, "--fronts", "2"},
		"--fronts 0: want 1 at least":       {"compose", file, "--fronts", "0"},
		`stage "shout" has two images`:      {"compose", file, "--image-of", "shout=a", "--image-of", "shout=b"},
		`"shout": want STAGE=IMAGE`:         {"compose", file, "--image-of", "shout"},
		`--image-of: there is no stage "x"`: {"compose", file, "--image-of", "x=y"},
		"--name: \"1\": want a name":        {"systemd", file, "--name", "1"},
		"no such file":                      {"kubernetes", file + "x"},
		"stages: want keys with values":     {"kubernetes", graphFile(t, "version: 1\nroutes: [{prefix: /, stage: a}]\nstages: 1\n")},
	} {
		code, out, errs := runGreeter(t, append([]string{"export"}, args...)...)
		assert.Equal(t, 2, code, "%v: %s", args, errs)
		assert.Empty(t, out)
		assert.Contains(t, errs, want)
	}
}

// A target that is misspelt is no graph file.
func TestExportKnowsItsTargets(t *testing.T) {
	code, _, errs := runGreeter(t, "export", "kubernets", "x.yaml")
	assert.Equal(t, 2, code)
	assert.Contains(t, errs, "want what to export to")
	code, out, _ := runGreeter(t, "export", "--help")
	assert.Zero(t, code)
	for _, target := range []string{"systemd", "kubernetes", "compose"} {
		assert.Contains(t, strings.Fields(out), target)
	}
}
