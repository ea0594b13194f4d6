package graph_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/httpfront"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// load loads files of testdata, without an environment.
func load(t *testing.T, paths ...string) *graph.Graph {
	t.Helper()
	g, err := graph.Load(paths, graph.Options{LookupEnv: noEnv})
	require.NoError(t, err)
	return g
}

func noEnv(string) (string, bool) { return "", false }

func TestLoadReadsEverything(t *testing.T) {
	g := load(t, "testdata/good/whole.yaml")
	require.Len(t, g.Fronts, 1)
	f, ok := g.Front("front")
	require.True(t, ok)
	assert.Equal(t, "127.0.0.1:8002", f.Listen)
	assert.Equal(t, graph.Endpoint{Bind: "tcp://127.0.0.1:7101", Connect: "tcp://127.0.0.1:7101"}, f.Loopback)
	assert.Equal(t, graph.Endpoint{Bind: "tcp://*:7102", Connect: "tcp://front.example:7102"}, f.Interrupt)
	assert.Equal(t, 30*time.Second, f.Timeout)
	assert.Equal(t, graph.Size(10<<20), f.MaxBody)
	assert.Equal(t, 10000, f.MaxPending)
	assert.Equal(t, "/livez", f.Live)

	require.Len(t, g.Routes, 4)
	r := g.Routes[1]
	assert.Equal(t, "/echo/", r.Prefix)
	assert.Equal(t, "*.example.com", r.Host)
	assert.Equal(t, "echo", r.Stage)
	assert.Equal(t, 2*time.Second, r.Timeout)
	assert.Equal(t, "batch", r.Priority)
	assert.Equal(t, []string{"GET", "POST"}, g.Routes[0].Methods)
	assert.Equal(t, map[string]string{"X-Kind": "cheap"}, g.Routes[2].Header)
	assert.Equal(t, graph.Position{File: "testdata/good/whole.yaml", Line: 13, Column: 5}, r.Position)

	require.Len(t, g.Stages, 4)
	compute, ok := g.Stage("compute")
	require.True(t, ok)
	assert.Equal(t, "primes.compute", compute.Worker)
	assert.Equal(t, 8, compute.Count)
	assert.Equal(t, []string{"compute"}, compute.Next)
	assert.Equal(t, 100000, compute.MaxVisits)
	assert.Equal(t, graph.Position{File: "testdata/good/whole.yaml", Line: 23, Column: 3}, compute.Position)
	echo, ok := g.Stage("echo")
	require.True(t, ok)
	assert.Equal(t, []string{"python3", "examples/python/echo_worker.py"}, echo.Command)
	legacy, ok := g.Stage("legacy")
	require.True(t, ok)
	assert.Equal(t, graph.CompatPrimeServer, legacy.Compat)
	assert.Equal(t, 200000, g.Limits.MaxHops)
	_, ok = g.Stage("nobody")
	assert.False(t, ok)
}

func TestLoadReadsTheRest(t *testing.T) {
	g := load(t, "testdata/good/fronts.yaml")
	assert.Empty(t, g.Warnings)
	eu, ok := g.Front("eu")
	require.True(t, ok)
	assert.Equal(t, ":8002", eu.Listen)
	assert.Equal(t, 5*time.Second, eu.HeaderTimeout)
	assert.Equal(t, 30*time.Second, eu.BodyTimeout)
	assert.Equal(t, 90*time.Second, eu.IdleTimeout)
	assert.Equal(t, 10*time.Second, eu.WriteTimeout)
	assert.Equal(t, graph.Never, eu.HalfCloseGrace)
	assert.Equal(t, graph.Never, eu.StreamIdle)
	assert.Equal(t, graph.Size(256<<10), eu.StreamWindow)
	assert.Equal(t, 20*time.Second, eu.DrainTimeout)
	assert.Equal(t, graph.Size(32<<10), eu.MaxHeader)
	assert.Equal(t, 4096, eu.MaxTarget)
	assert.Equal(t, 20000, eu.MaxConns)
	assert.Equal(t, graph.Size(1<<29), eu.MaxPendingBytes)
	assert.Equal(t, "-", eu.AccessLog)
	assert.Equal(t, "/livez", eu.Live)
	assert.Equal(t, "/readyz", eu.Ready)
	us, ok := g.Front("us")
	require.True(t, ok)
	assert.Equal(t, ":8003", us.Listen)
	assert.Equal(t, graph.Never, us.Timeout)
	assert.Equal(t, time.Nanosecond, us.HalfCloseGrace)
	assert.Empty(t, us.Live)
	assert.Equal(t, "/healthz", us.Ready)

	assert.Equal(t, graph.Never, g.Routes[0].Timeout)
	assert.Equal(t, graph.RepeatAlways, g.Routes[0].Repeat)
	assert.Equal(t, map[string]string{"X-Tenant": "7", "X-Debug": "true"}, g.Routes[0].Header)
	assert.Equal(t, graph.RepeatNever, g.Routes[1].Repeat)
	assert.Equal(t, "legacy", g.Routes[2].Stage)

	split, _ := g.Stage("split")
	assert.Equal(t, 4, split.Count)
	assert.Equal(t, 5000, split.MaxQueue)
	assert.Equal(t, 2*time.Second, split.Timeout)
	assert.Equal(t, graph.RepeatAlways, split.Repeat)
	assert.Equal(t, 5, split.Attempts)
	assert.Equal(t, 3, split.MaxHung)
	assert.Equal(t, graph.Size(64<<20), split.MaxQueueBytes)
	assert.Equal(t, 100_000, split.MaxForwarded)
	assert.Equal(t, graph.Size(128<<20), split.MaxForwardedBytes)
	part, _ := g.Stage("part")
	assert.Equal(t, 2, part.Count, "what stands there overrides what is merged")
	assert.Equal(t, []string{"python3", "worker.py", "--level", "3", "--cost", "$5"}, part.Command)
	assert.Equal(t, map[string]string{"MODE": "fast", "LEVEL": "3", "DEBUG": "true"}, part.Env)
	assert.Equal(t, 24*time.Hour, part.MaxAge)
	assert.Empty(t, part.Repeat)
	legacy, _ := g.Stage("legacy")
	assert.True(t, legacy.External)
}

func TestLoadFillsInDefaults(t *testing.T) {
	g := load(t, "testdata/good/minimal.yaml")
	require.Len(t, g.Fronts, 1)
	f := g.Fronts[0]
	assert.Equal(t, "front", f.Name)
	assert.Equal(t, graph.DefaultListen, f.Listen)
	assert.Equal(t, "/livez", f.Live)
	assert.Equal(t, "/readyz", f.Ready)
	assert.True(t, f.Loopback.IsZero())
	assert.Zero(t, f.Timeout)
	assert.Equal(t, graph.DefaultMaxHops, g.Limits.MaxHops)
	assert.Zero(t, g.Stages[0].Count)
}

func TestFilesCompose(t *testing.T) {
	g := load(t, "testdata/good/parts")
	assert.Equal(t, "127.0.0.1:0", g.Fronts[0].Listen)
	assert.Equal(t, 50, g.Limits.MaxHops)
	assert.Equal(t, []string{"/primes", "/"}, []string{g.Routes[0].Prefix, g.Routes[1].Prefix})
	assert.Equal(t, []string{"primes", "echo"}, []string{g.Stages[0].Name, g.Stages[1].Name})

	at := "testdata/good/parts/"
	again := load(t, at+"20-primes.yml", at+"30-echo.yaml", at+"10-front.yaml")
	assert.Equal(t, g.Routes, again.Routes)
	assert.Equal(t, 50, again.Limits.MaxHops)
}

func TestVariables(t *testing.T) {
	environment := map[string]string{"N": "4", "EMPTY": "", "WORKER": "my: {worker}"}
	parse := func(value string) (*graph.Stage, error) {
		text := "version: 1\nroutes: [{prefix: /, stage: s}]\nstages: {s: {" + value + "}}\n"
		g, err := graph.Parse([]graph.File{{Name: "v.yaml", Data: []byte(text)}}, graph.Options{
			LookupEnv: func(name string) (string, bool) { v, ok := environment[name]; return v, ok },
		})
		if err != nil {
			return nil, err
		}
		return &g.Stages[0], nil
	}
	s, err := parse(`worker: "${WORKER}", count: "${N}"`)
	require.NoError(t, err)
	assert.Equal(t, "my: {worker}", s.Worker, "a value is text, whatever it holds")
	assert.Equal(t, 4, s.Count, "a number, in quotes because of the braces")
	s, err = parse(`worker: "a$${N}-${EMPTY:-b}-${UNSET:-}-${N:-9}${N}", count: "1${N}"`)
	require.NoError(t, err)
	assert.Equal(t, "a${N}-b--44", s.Worker)
	assert.Equal(t, 14, s.Count)
	_, err = parse(`worker: w, count: "4"`)
	require.ErrorContains(t, err, "write it without quotes")
	_, err = parse(`worker: "${EMPTY}"`)
	require.ErrorContains(t, err, "the name is empty")
}

// What is not there is an error of its own, that says so to errors.Is.
func TestLoadWithoutFiles(t *testing.T) {
	empty := t.TempDir()
	for _, paths := range [][]string{nil, {filepath.Join(empty, "none.yaml")}, {empty}} {
		_, err := graph.Load(paths, graph.Options{})
		require.Error(t, err)
		var invalid *graph.Invalid
		assert.False(t, errors.As(err, &invalid))
	}
	_, err := graph.Load([]string{filepath.Join(empty, "none.yaml")}, graph.Options{})
	assert.ErrorIs(t, err, fs.ErrNotExist)
	_, err = graph.Parse(nil, graph.Options{})
	assert.Error(t, err)
}

func TestLoadReadsTheEnvironmentByItself(t *testing.T) {
	t.Setenv("BUTTERFLY_TEST_COUNT", "3")
	g, err := graph.Parse([]graph.File{{Name: "e.yaml", Data: []byte(
		"version: 1\nroutes: [{prefix: /, stage: s}]\nstages:\n  s: {worker: w, count: \"${BUTTERFLY_TEST_COUNT}\"}\n")}}, graph.Options{})
	require.NoError(t, err)
	assert.Equal(t, 3, g.Stages[0].Count)
}

// Files that are small and mean much, or are large, end in a problem.
func TestLoadIsBounded(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("version: 1\nx-0: &a0 {command: [x, x, x, x, x, x, x, x, x]}\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&bomb, "x-%d: &a%d [%s]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9))
	}
	bomb.WriteString("stages: {s: {worker: w, next: *a11}}\nroutes: [{prefix: /, stage: s}]\n")
	var wide strings.Builder
	wide.WriteString("version: 1\nroutes:\n")
	for i := range 11_000 {
		fmt.Fprintf(&wide, "- {path: /%d, stage: s}\n", i)
	}
	wide.WriteString("stages: {s: {worker: w}}\n")
	var typos strings.Builder
	typos.WriteString("version: 1\nroutes: [{prefix: /, stage: s}]\nstages:\n")
	for i := range 900 {
		fmt.Fprintf(&typos, "  s%d%s: {worker: w, next: [", i, strings.Repeat("x", 50))
		for j := range 10 {
			fmt.Fprintf(&typos, "t%d-%d%s, ", i, j, strings.Repeat("x", 50))
		}
		typos.WriteString("]}\n")
	}
	for name, text := range map[string]string{
		"aliases": bomb.String(),
		"large":   "version: 1\n#" + strings.Repeat("x", graph.MaxFile),
		"deep":    "version: " + strings.Repeat("[", 100_000),
		"deeper":  "x-0: " + strings.Repeat("{a: ", 9_000) + strings.Repeat("}", 9_000) + "\n",
		"routes":  wide.String(),
		"wrong":   strings.Repeat("a: 1\n", 100_000),
		"typos":   typos.String(),
	} {
		_, err := graph.Parse([]graph.File{{Name: name, Data: []byte(text)}}, graph.Options{LookupEnv: noEnv})
		var invalid *graph.Invalid
		require.ErrorAs(t, err, &invalid, name)
		assert.LessOrEqual(t, len(invalid.Problems), 1001, name)
	}
}

func TestSizes(t *testing.T) {
	for s, want := range map[graph.Size]string{
		0: "0", 1: "1", 1000: "1000", 1024: "1KiB", 1536: "1536", 10 << 20: "10MiB", 3 << 30: "3GiB", 1 << 40: "1TiB",
	} {
		assert.Equal(t, want, s.String())
	}
	for text, want := range map[string]graph.Size{
		"300": 300, "300B": 300, "64KiB": 64 << 10, "64kib": 64 << 10, "64 KiB": 64 << 10, "1.5MiB": 3 << 19, "2kB": 2000, "2MB": 2_000_000,
	} {
		g, err := graph.Parse([]graph.File{{Name: "s.yaml", Data: []byte("version: 1\nfront: {max_body: " + text + "}\n" +
			"routes: [{prefix: /, stage: s}]\nstages: {s: {worker: w}}\n")}}, graph.Options{LookupEnv: noEnv})
		require.NoError(t, err, text)
		assert.Equal(t, want, g.Fronts[0].MaxBody, text)
	}
}

// The defaults that the file's schema names are those of the rooms below.
func TestDefaultsAreTrue(t *testing.T) {
	var s struct {
		Definitions map[string]struct {
			Properties map[string]struct{ Default any }
		}
	}
	require.NoError(t, json.Unmarshal(graph.Schema(), &s))
	standard := func(key string) string { return fmt.Sprint(s.Definitions["front"].Properties[key].Default) }
	for key, want := range map[string]time.Duration{
		"timeout": httpfront.DefaultTimeout, "header_timeout": httpfront.DefaultHeaderTimeout, "body_timeout": httpfront.DefaultBodyTimeout,
		"idle_timeout": httpfront.DefaultIdleTimeout, "write_timeout": httpfront.DefaultWriteTimeout, "half_close_grace": httpfront.DefaultHalfCloseGrace,
		"stream_idle": httpfront.DefaultStreamIdle,
	} {
		d, err := time.ParseDuration(standard(key))
		require.NoError(t, err)
		assert.Equal(t, want, d, key)
	}
	for key, want := range map[string]int64{
		"max_body": httpfront.DefaultMaxBody, "max_header": httpfront.DefaultMaxHeaderBytes, "max_target": httpfront.DefaultMaxTarget,
		"max_pending_bytes": loopback.DefaultMaxPendingBytes, "stream_window": loopback.DefaultStreamWindow,
	} {
		assert.Equal(t, graph.Size(want).String(), standard(key), key)
	}
	assert.Equal(t, fmt.Sprint(httpfront.DefaultMaxConns), standard("max_conns"))
	assert.Equal(t, fmt.Sprint(loopback.DefaultMaxPending), standard("max_pending"))
	stage := s.Definitions["stage"].Properties
	assert.EqualValues(t, cluster.DefaultMaxQueue, stage["max_queue"].Default)
	assert.Equal(t, graph.Size(cluster.DefaultMaxQueueBytes).String(), stage["max_queue_bytes"].Default)
	assert.EqualValues(t, cluster.DefaultMaxForwarded, stage["max_forwarded"].Default)
	assert.Equal(t, graph.Size(cluster.DefaultMaxForwardedBytes).String(), stage["max_forwarded_bytes"].Default)
	assert.EqualValues(t, graph.DefaultMaxHops, s.Definitions["limits"].Properties["max_hops"].Default)
}
