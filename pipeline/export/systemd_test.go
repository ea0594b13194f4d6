package export_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/zmqpeer"
	"github.com/butterfly-zmq/butterfly/pipeline/export"
	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// unit is a unit's text: values by section and key.
type unit map[string]map[string][]string

var assignment = regexp.MustCompile(`^([A-Za-z]+)=(.*)$`)

// parseUnit reads a unit strictly: nothing but sections, assignments, comments
// and empty lines.
func parseUnit(t *testing.T, name string, data []byte) unit {
	t.Helper()
	u := make(unit)
	section := ""
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		switch m := assignment.FindStringSubmatch(line); {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]"):
			section = strings.Trim(line, "[]")
			u[section] = make(map[string][]string)
		case m != nil && section != "":
			assert.Equal(t, strings.TrimSpace(m[2]), m[2])
			u[section][m[1]] = append(u[section][m[1]], m[2])
		default:
			require.Fail(t, "no line of a unit", "%s: %q", name, line)
		}
	}
	return u
}

// one returns the only value of a key; "" where it is absent.
func (u unit) one(t *testing.T, section, key string) string {
	t.Helper()
	values := u[section][key]
	require.LessOrEqual(t, len(values), 1, "%s=", key)
	return strings.Join(values, "")
}

func units(t *testing.T, files map[string][]byte) map[string]unit {
	t.Helper()
	all := make(map[string]unit)
	for name, data := range files {
		if strings.HasSuffix(name, ".service") || strings.HasSuffix(name, ".target") {
			all[name] = parseUnit(t, name, data)
		}
	}
	assert.Len(t, all, len(files)-1, "units and a graph")
	return all
}

func TestSystemdRunsTheWholeGraph(t *testing.T) {
	onEach(t, "systemd", func(t *testing.T, name string, from *graph.Graph, files map[string][]byte) {
		all := units(t, files)
		var roles, services []string
		for file, u := range all {
			if strings.HasSuffix(file, ".target") {
				continue
			}
			services = append(services, file)
			call := strings.Fields(u.one(t, "Service", "ExecStart"))
			require.Len(t, call, 7, file)
			assert.Equal(t, []string{"/usr/local/bin/prime-serverd", "run", "/etc/butterfly/" + name + ".yaml", "--role"}, call[:4])
			roles = append(roles, call[4])
			assert.Equal(t, []string{"--run-dir", "/run/butterfly/" + name}, call[5:])
			assert.Equal(t, "/run/"+u.one(t, "Service", "RuntimeDirectory"), call[6], "the directory for sockets is the unit's own")
			assert.Equal(t, "yes", u.one(t, "Service", "RuntimeDirectoryPreserve"), "it is shared")
			assert.Equal(t, name+".target", u.one(t, "Unit", "PartOf"))
			assert.Equal(t, "bf-"+name, u.one(t, "Service", "User"))
		}
		assert.ElementsMatch(t, rolesOf(from), roles)
		target := all[name+".target"]
		assert.ElementsMatch(t, services, target["Unit"]["Wants"])
		assert.Equal(t, "multi-user.target", target.one(t, "Install", "WantedBy"))

		g := loaded(t, name+".yaml", files[name+".yaml"])
		want, err := from.Encode()
		require.NoError(t, err)
		got, err := g.Encode()
		require.NoError(t, err)
		assert.Equal(t, string(want), string(got))
	})
}

// Units stop in the reverse order of After=: fronts, then workers, then proxies.
func TestSystemdStopsUpstreamFirst(t *testing.T) {
	onEach(t, "systemd", func(t *testing.T, name string, from *graph.Graph, files map[string][]byte) {
		all := units(t, files)
		var proxies, workers []string
		for file := range all {
			switch {
			case strings.HasPrefix(file, name+"-proxy-"):
				proxies = append(proxies, file)
			case strings.HasPrefix(file, name+"-workers-"):
				workers = append(workers, file)
			}
		}
		require.NotEmpty(t, workers)
		for file, u := range all {
			want := []string{"network.target"}
			switch {
			case strings.HasSuffix(file, ".target"):
				continue
			case strings.HasPrefix(file, name+"-front"):
				want = slices.Concat(want, proxies, workers)
			case slices.Contains(workers, file):
				want = slices.Concat(want, proxies)
			}
			assert.ElementsMatch(t, want, u["Unit"]["After"], file)
			seconds, err := strconv.Atoi(u.one(t, "Service", "TimeoutStopSec"))
			require.NoError(t, err)
			assertGrace(t, time.Duration(seconds)*time.Second, from)
			assert.Equal(t, "SIGTERM", u.one(t, "Service", "KillSignal"))
			assert.Equal(t, "mixed", u.one(t, "Service", "KillMode"), "the programs of a stage are its keeper's to stop")
			assert.Equal(t, "always", u.one(t, "Service", "Restart"))
			assert.Equal(t, "0", u.one(t, "Unit", "StartLimitIntervalSec"), "for ever")
		}
	})
}

func TestSystemdGivesWhatAPartNeeds(t *testing.T) {
	g := graphs(t)
	fronts := units(t, exported(t, targets()[0], "fronts", g["fronts"]))
	east, west := fronts["fronts-front-east-1.service"], fronts["fronts-front-west.service"]
	assert.Equal(t, "CAP_NET_BIND_SERVICE", east.one(t, "Service", "AmbientCapabilities"), "it listens at port 80")
	assert.Empty(t, west.one(t, "Service", "AmbientCapabilities"))
	assert.Equal(t, "butterfly/fronts", east.one(t, "Service", "LogsDirectory"))
	assert.Empty(t, west.one(t, "Service", "LogsDirectory"))
	files, err := strconv.Atoi(west.one(t, "Service", "LimitNOFILE"))
	require.NoError(t, err)
	assert.Greater(t, files, 100_000, "max_conns of them for clients")

	primes := units(t, exported(t, targets()[0], "primes", g["primes"]))
	echo, parse := primes["primes-workers-echo.service"], primes["primes-workers-parse.service"]
	assert.Equal(t, "-/opt/butterfly/primes", echo.one(t, "Service", "WorkingDirectory"))
	assert.Empty(t, echo.one(t, "Service", "MemoryDenyWriteExecute"), "interpreters may compile")
	assert.Equal(t, "yes", parse.one(t, "Service", "MemoryDenyWriteExecute"))
}

// What the score of systemd-analyze lets pass is asked for by name.
func TestSystemdConfinesEveryUnit(t *testing.T) {
	onEach(t, "systemd", func(t *testing.T, name string, _ *graph.Graph, files map[string][]byte) {
		for file, u := range units(t, files) {
			if strings.HasSuffix(file, ".target") {
				continue
			}
			for key, want := range map[string]string{
				"DynamicUser": "yes", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes",
				"PrivateDevices": "yes", "RestrictSUIDSGID": "yes", "RuntimeDirectoryMode": "0700", "UMask": "0077",
				"SystemCallFilter": "@system-service", "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6",
			} {
				assert.Equal(t, want, u.one(t, "Service", key), "%s: %s", file, key)
			}
			assert.Contains(t, []string{"", "CAP_NET_BIND_SERVICE"}, u.one(t, "Service", "CapabilityBoundingSet"))
			assert.Len(t, u["Service"]["CapabilityBoundingSet"], 1, "absent, it would be all of them")
		}
	})
}

// analyze runs systemd-analyze, or skips the test where it is not and need not
// be there.
func analyze(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		if os.Getenv(zmqpeer.EnvRequire) == "1" {
			t.Fatal("systemd-analyze missing, and " + zmqpeer.EnvRequire + "=1 requires it")
		}
		t.Skip("systemd-analyze missing: units are not verified")
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// written writes units that run this test's binary, which is there, and returns
// their directory and paths.
func written(t *testing.T, name string) (string, []string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "prime-serverd")
	self, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, os.Symlink(self, binary))
	files, err := export.Systemd(graphs(t)[name], export.Config{Name: name, Binary: binary})
	require.NoError(t, err)
	dir := t.TempDir()
	var paths []string
	for _, f := range files {
		path := filepath.Join(dir, f.Name)
		require.NoError(t, os.WriteFile(path, f.Data, 0o644))
		if !strings.HasSuffix(path, ".yaml") {
			paths = append(paths, path)
		}
	}
	return dir, paths
}

func TestSystemdVerifiesTheUnits(t *testing.T) {
	for name := range graphs(t) {
		dir, paths := written(t, name)
		out, err := analyze(t, dir, append([]string{"verify", "--man=no"}, paths...)...)
		assert.NoError(t, err, out)
		assert.Empty(t, out)
	}
}

// The verification is one that fails.
func TestSystemdWouldFindAMistake(t *testing.T) {
	dir, paths := written(t, "primes")
	data, err := os.ReadFile(paths[1])
	require.NoError(t, err)
	broken := strings.Replace(string(data), "Type=exec", "Type=exec\nProtectSistem=strict", 1)
	require.NotEqual(t, string(data), broken)
	require.NoError(t, os.WriteFile(paths[1], []byte(broken), 0o644))
	out, _ := analyze(t, dir, append([]string{"verify", "--man=no"}, paths...)...)
	assert.Contains(t, out, "ProtectSistem")
}

// Units are confined: the scale ends at 10, and services without a word about
// it are at 9.6.
func TestSystemdFindsTheUnitsConfined(t *testing.T) {
	for name := range graphs(t) {
		dir, paths := written(t, name)
		for _, path := range paths {
			if strings.HasSuffix(path, ".target") {
				continue
			}
			out, err := analyze(t, dir, "security", "--no-pager", "--offline=true", "--threshold=20", path)
			assert.NoError(t, err, out)
			assert.Contains(t, out, "Overall exposure level")
		}
	}
}
