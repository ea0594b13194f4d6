//go:build linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/zmqpeer"
)

// Flags win over the environment; a program that is called wrongly says how, and
// ends with 2.
func TestPythonCommandLine(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	r.proxy(ours, echo)
	python, script := zmqpeer.Python(t), example("python", "echo_worker.py")
	t.Run("flags", func(t *testing.T) {
		r := &rig{t: t, scheme: r.scheme, dir: r.dir, ends: r.ends, fronts: []string{"elsewhere"}}
		w := r.program(stage{name: "nowhere"}, python, "-B", script, "--upstream-proxy", r.down(echo),
			"--loopback", r.loopback(""), "--interrupt", r.interrupt(""), "--stage", "echo")
		assert.Contains(t, w.says("msg=working"), "stage=echo")
		f := r.front(ours, []stage{echo})
		wants(t, f.addr, post("hi"), 200, "hi")
	})
	for args, speak := range map[string]string{
		"--nosuch":                   "--nosuch",
		"nosuch":                     "no worker 'nosuch'",
		"--upstream-proxy nowhere":   "'nowhere' is no endpoint",
		"--loopback x=tcp://*:1":     "'tcp://*:1' is no endpoint",
		"--loopback a --loopback b":  "twice",
		"--interrupt inproc-x":       "'inproc-x' is no endpoint",
		"--log-level loud":           "loud",
		"--upstream-proxy= --stage=": "--upstream-proxy is missing",
	} {
		t.Run(args, func(t *testing.T) {
			w := r.program(echo, append([]string{python, "-B", script}, strings.Fields(args)...)...)
			assert.Equal(t, 2, w.endsWithin(patience))
			assert.Contains(t, w.tail(1), speak)
		})
	}
}

// What the README of examples/python has one type works.
func TestPythonReadme(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(example("python", "README.md"))
	require.NoError(t, err)
	_, block, found := strings.Cut(string(page), "<!-- shell: by hand -->\n```sh\n")
	require.True(t, found)
	block, _, _ = strings.Cut(block, "```")
	r := newRig(t, "ipc")
	addr := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	block = strings.NewReplacer("$at", "ipc://"+r.dir+"/x", "127.0.0.1:8002", addr, " &\n", "\n").Replace(block)
	lines := strings.Split(strings.TrimSpace(block), "\n")
	require.Len(t, lines, 4)
	for _, line := range lines[1:] { // the first sets $at
		words := strings.Fields(line)
		cmd := exec.Command(binary, words[1:]...)
		if words[0] == "python3" {
			cmd = exec.Command(zmqpeer.Python(t), append([]string{"-B"}, words[1:]...)...)
		}
		cmd.Dir = filepath.Join("..", "..")
		start(t, words[1], cmd)
	}
	serves(t, addr, post("hello"), "hello")
}
