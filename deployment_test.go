package butterfly_test

import (
	"bytes"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/examples/primes"
	"github.com/butterfly-zmq/butterfly/pipeline/daemon"
)

// primeServerd runs the program's command line.
func primeServerd(t *testing.T, args ...string) string {
	t.Helper()
	app := &daemon.App{Name: "prime-serverd", Workers: primes.Workers(), Stages: primes.Stages(), Simulate: primes.Simulate}
	var out, errs bytes.Buffer
	require.Zero(t, app.Execute(t.Context(), args, &out, &errs), "%v: %s", args, errs.String())
	return out.String()
}

// The calls of docs/deployment.md work as they stand there, on a graph file.
func TestDeploymentShowsTrueCalls(t *testing.T) {
	graph, err := filepath.Abs("pipeline/export/testdata/primes.yaml")
	require.NoError(t, err)
	t.Chdir(t.TempDir())
	page := read(t, filepath.Join(filepath.Dir(graph), "../../../docs/deployment.md"))
	calls := regexp.MustCompile(`(?m)^prime-serverd (export .*)$`).FindAllStringSubmatch(page, -1)
	require.Len(t, calls, 3)
	for _, call := range calls {
		primeServerd(t, strings.Fields(strings.Replace(call[1], "service.yaml", graph+" --name service", 1))...)
	}
	// What the page says to do with the files is done with these.
	for _, file := range []string{"units/service.yaml", "units/service.target", "units/service-workers-parse.service", "compose/compose.yaml"} {
		assert.FileExists(t, file)
		assert.Contains(t, page, filepath.Base(file))
	}
	assert.FileExists(t, "kubernetes/kustomization.yaml", "which apply -k looks for")
	assert.Contains(t, read(t, "compose/compose.yaml"), "\n  workers-parse:\n", "the service that the page scales")
}

// Every flag of export and probe is in docs/deployment.md.
func TestDeploymentNamesEveryFlag(t *testing.T) {
	page := read(t, "docs/deployment.md")
	for _, command := range [][]string{{"export", "systemd"}, {"export", "kubernetes"}, {"export", "compose"}, {"probe"}} {
		usage := primeServerd(t, append(command, "--help")...)
		own, _, _ := strings.Cut(usage, "Global Flags:")
		flags := regexp.MustCompile(`(?m)^ +(?:-\w, )?(--[a-z-]+)`).FindAllStringSubmatch(own, -1)
		require.NotEmpty(t, flags)
		for _, f := range flags {
			if f[1] != "--help" {
				assert.Contains(t, page, "`"+f[1]+"`", "%v", command)
			}
		}
	}
}
