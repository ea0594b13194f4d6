package butterfly_test

import (
	"debug/elf"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The image of deploy/Dockerfile holds a binary that needs nothing beside it.
// Docker is not asked: the build command of the file runs here, on the files
// that .dockerignore leaves, and what it makes runs where nothing else is.
func TestDockerfileBuildsAStaticBinary(t *testing.T) {
	steps := dockerfile(t)
	assert.Equal(t, [][2]string{
		{"FROM", "scratch"},
		{"COPY", "--from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/"},
		{"COPY", "--from=build /out/prime-serverd /prime-serverd"},
		{"USER", "65532:65532"},
		{"EXPOSE", "8002"},
		{"ENTRYPOINT", `["/prime-serverd"]`},
		{"CMD", `["--listen", ":8002"]`},
	}, steps[len(steps)-7:], "the last stage is the binary, and its user not root")

	root := t.TempDir()
	build(t, steps, filepath.Join(root, "prime-serverd"))
	assertStatic(t, filepath.Join(root, "prime-serverd"))
	assert.Contains(t, alone(t, root, "--version"), "prime-serverd")
	assert.Contains(t, alone(t, root, "100", "2"), "primes found", "it works")
}

// dockerfile returns the instructions of deploy/Dockerfile.
func dockerfile(t *testing.T) [][2]string {
	t.Helper()
	var steps [][2]string
	for line := range strings.Lines(read(t, "deploy/Dockerfile")) {
		instruction, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if instruction != "" && !strings.HasPrefix(instruction, "#") {
			steps = append(steps, [2]string{instruction, rest})
		}
	}
	return steps
}

// build runs the Dockerfile's go build.
func build(t *testing.T, steps [][2]string, to string) {
	t.Helper()
	i := slices.IndexFunc(steps, func(s [2]string) bool { return s[0] == "RUN" && strings.Contains(s[1], "go build") })
	require.Positive(t, i)
	command := strings.Replace(steps[i][1], "-o /out/prime-serverd", "-o '"+to+"'", 1)
	require.Contains(t, command, to)
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Dir = t.TempDir()
	copyContext(t, cmd.Dir)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s: %s", command, out)

	base := regexp.MustCompile(`^golang:(\d+\.\d+) AS build$`).FindStringSubmatch(steps[0][1])
	require.Len(t, base, 2)
	assert.Contains(t, read(t, "go.mod"), "\ngo "+base[1]+".", "the image has the Go that go.mod wants")
}

// copyContext copies what docker would send: all that .dockerignore does not
// name.
func copyContext(t *testing.T, to string) {
	t.Helper()
	var ignored []string
	for line := range strings.Lines(read(t, ".dockerignore")) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			require.NotContains(t, line, "!", "exceptions are not understood here")
			ignored = append(ignored, line)
		}
	}
	require.NoError(t, filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || name == ".":
			return err
		case isIgnored(t, ignored, name) && d.IsDir():
			return fs.SkipDir
		case isIgnored(t, ignored, name):
			return nil
		case d.IsDir():
			return os.Mkdir(filepath.Join(to, name), 0o755)
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), data, 0o644)
	}))
}

// isIgnored matches a path as docker does: from the top, or below any folder
// behind **/.
func isIgnored(t *testing.T, patterns []string, name string) bool {
	t.Helper()
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		below, anywhere := strings.CutPrefix(pattern, "**/")
		if anywhere {
			name = path.Base(name)
		}
		matched, err := path.Match(below, name)
		require.NoError(t, err)
		return matched
	})
}

// assertStatic makes sure that no loader and no library is asked for.
func assertStatic(t *testing.T, binary string) {
	t.Helper()
	f, err := elf.Open(binary)
	require.NoError(t, err)
	defer f.Close()
	libraries, err := f.ImportedLibraries()
	require.NoError(t, err)
	assert.Empty(t, libraries)
	for _, p := range f.Progs {
		assert.NotEqual(t, elf.PT_INTERP, p.Type, "it wants a loader")
	}
}

// alone runs the program in an empty directory with no environment; where the
// test may, with that directory as its root and as the image's user.
func alone(t *testing.T, root string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(root, "prime-serverd"), args...)
	cmd.Dir, cmd.Env = t.TempDir(), []string{}
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chmod(root, 0o755))
		cmd.Path, cmd.Dir = "/prime-serverd", "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}
