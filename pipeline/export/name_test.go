package export_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/pipeline/export"
	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// small is a graph of one front and stages.
func small(stages ...string) *graph.Graph {
	g := &graph.Graph{
		Fronts: []graph.Front{{Name: "front", Listen: "127.0.0.1:8002", Live: "/livez", Ready: "/readyz"}},
		Routes: []graph.Route{{Prefix: "/", Stage: stages[0]}},
		Limits: graph.Limits{MaxHops: 10},
	}
	for i, s := range stages {
		g.Stages = append(g.Stages, graph.Stage{Name: s, Worker: "w", Next: stages[i+1:], Position: graph.Position{File: "g.yaml", Line: 10 + i}})
	}
	return g
}

// What cannot be exported is said in one line each, with what to do.
func TestRefusals(t *testing.T) {
	long := strings.Repeat("x", 60)
	cases := []struct {
		name   string
		to     int // of targets; -1: all
		change func(*graph.Graph, *export.Config)
		want   string
	}{
		{"no name", -1, func(_ *graph.Graph, c *export.Config) { c.Name = "..." },
			`--name: "...": want a name that begins with a letter`},
		{"a number", -1, func(_ *graph.Graph, c *export.Config) { c.Name = "1a" },
			`--name: "1a": want a name that begins with a letter`},
		{"a long name", -1, func(_ *graph.Graph, c *export.Config) { c.Name = long[:29] },
			`--name: "` + long[:29] + `" has 29 bytes, at most 28 are allowed (choose a shorter one)`},
		{"no binary", -1, func(_ *graph.Graph, c *export.Config) { c.Binary = "prime-serverd" },
			`--binary: "prime-serverd": want an absolute path of letters, digits and . _ + @ -`},
		{"a binary of several words", -1, func(_ *graph.Graph, c *export.Config) { c.Binary = "/a b" },
			`--binary: "/a b": want an absolute path of letters, digits and . _ + @ -`},
		{"one label for two stages", -1, func(g *graph.Graph, _ *export.Config) { g.Stages[0].Name, g.Stages[1].Name = "a_B", "A.b" },
			`g.yaml:11: stages.A.b: "a_B" and "A.b" both become workers-a-b, as names of parts are made of small letters, digits and dashes (rename one of them)`},
		{"one label for two fronts", -1, func(g *graph.Graph, _ *export.Config) {
			g.Fronts = append(g.Fronts, g.Fronts[0])
			g.Fronts[0].Name, g.Fronts[1].Name, g.Fronts[1].Listen = "x", "X", ":1024"
		}, `fronts.X: "x" and "X" both become front-x, as names of parts are made of small letters, digits and dashes (rename one of them)`},
		{"a long stage", -1, func(g *graph.Graph, _ *export.Config) { g.Stages[0].Name = long },
			`g.yaml:10: stages.` + long + `: the name svc-workers-` + long + ` has 72 bytes, at most 63 are allowed (rename it, or choose a shorter --name)`},
		{"a proxy that is called as another stage's", -1, func(g *graph.Graph, _ *export.Config) {
			g.Stages[0].Proxies, g.Stages[1].Name = 2, "a.1"
		}, `g.yaml:11: stages.a.1: "a" and "a.1" both become proxy-a-1, as names of parts are made of small letters, digits and dashes (rename one of them)`},
		{"several fronts on a machine", 0, func(_ *graph.Graph, c *export.Config) { c.Replicas = 2 },
			`--fronts: 2 of a front cannot listen at one address (name the fronts in the graph, each with an address of its own)`},
		{"a target of systemd's", 0, func(_ *graph.Graph, c *export.Config) { c.Name = "Multi_User" },
			`--name: systemd itself has a multi-user.target (choose another)`},
		{"a socket elsewhere", 0, func(g *graph.Graph, _ *export.Config) {
			g.Stages[1].Upstream = graph.Endpoint{Bind: "ipc:///tmp/x", Connect: "ipc:///tmp/x"}
		}, `g.yaml:11: stages.b.upstream: the units cannot meet at ipc:///tmp/x (leave it out, or choose a file in /run/butterfly/svc)`},
		{"a relative socket", 0, func(g *graph.Graph, _ *export.Config) {
			g.Fronts[0].Loopback = graph.Endpoint{Bind: "ipc://x", Connect: "ipc://x"}
		}, `front.loopback: the units cannot meet at ipc://x (leave it out, or choose a file in /run/butterfly/svc)`},
		{"workers outside", 0, func(g *graph.Graph, _ *export.Config) {
			g.Stages[0].Worker, g.Stages[0].External = "", true
			g.Stages[0].Downstream = graph.Endpoint{Bind: "tcp://*:1", Connect: "tcp://a:1"}
			g.Fronts[0].Loopback = graph.Endpoint{Bind: "ipc://@l", Connect: "ipc://@l"}
			g.Stages[1].Upstream = graph.Endpoint{Bind: "ipc:///run/butterfly/svc/b", Connect: "ipc:///run/butterfly/svc/b"}
		}, `g.yaml:10: stages.a: its workers are started elsewhere, and these would be sockets that only the units may enter: front.interrupt, stages.b.upstream (write tcp://host:port or tls+tcp://host:port there)`},
		{"a log elsewhere", 0, func(g *graph.Graph, _ *export.Config) { g.Fronts[0].AccessLog = "/var/log/butterfly/svc/../x" },
			`front.access_log: the unit may not write "/var/log/butterfly/svc/../x" (write - for the journal, or a file in /var/log/butterfly/svc)`},
		{"no image", 1, func(_ *graph.Graph, c *export.Config) { c.Image = "" },
			`--image: "" is no image: want one like registry.example/svc:1.0`},
		{"an odd image", 2, func(_ *graph.Graph, c *export.Config) { c.Image = "a b" },
			`--image: "a b" is no image: want one like registry.example/svc:1.0`},
		{"the image of no stage", 1, func(_ *graph.Graph, c *export.Config) { c.Images = map[string]string{"c": "x"} },
			`--image-of: there is no stage "c"`},
		{"the image of others", 2, func(g *graph.Graph, c *export.Config) {
			g.Stages[1].Worker, g.Stages[1].External = "", true
			c.Images = map[string]string{"b": "x"}
		}, `--image-of: the workers of stage "b" are started elsewhere`},
		{"an odd image of a stage", 1, func(_ *graph.Graph, c *export.Config) { c.Images = map[string]string{"b": "$x"} },
			`--image-of: "$x" of stage "b" is no image`},
		{"a hundred fronts and one", 1, func(_ *graph.Graph, c *export.Config) { c.Replicas = 101 },
			`--fronts: 101 are too many: at most 100 for each front of the graph`},
		{"several fronts of prime_server's", 1, func(g *graph.Graph, c *export.Config) {
			g.Stages[1].Worker, g.Stages[1].Compat = "", graph.CompatPrimeServer
			c.Replicas = 2
		}, `g.yaml:11: stages.b.compat: prime_server's workers serve one front, not 2 (leave --fronts out)`},
		{"a front with a long name", 1, func(g *graph.Graph, _ *export.Config) { g.Fronts[0].Name = long[:27] },
			`fronts.` + long[:27] + `: the name ` + long[:27] + `-0 of a replica has 29 bytes, at most 28 are allowed (rename it)`},
		{"a long StatefulSet", 1, func(g *graph.Graph, c *export.Config) {
			c.Name, g.Fronts[0].Name = long[:24], long[:26]
		}, `fronts.` + long[:26] + `: the name ` + long[:24] + `-front-` + long[:26] + ` has 57 bytes, at most 52 are allowed of a StatefulSet (rename it, or choose a shorter --name)`},
		{"a host name to publish at", 2, func(g *graph.Graph, _ *export.Config) { g.Fronts[0].Listen = "example:8002" },
			`front.listen: docker publishes ports at IP addresses, not at "example" (write the address)`},
		{"no port left", 2, func(g *graph.Graph, c *export.Config) { g.Fronts[0].Listen, c.Replicas = ":65535", 2 },
			`front.listen: there is no port 65536 for replica 1 (choose a smaller one, or fewer --fronts)`},
		{"one port for two", 2, func(g *graph.Graph, c *export.Config) {
			g.Fronts = append(g.Fronts, g.Fronts[0])
			g.Fronts[0].Name, g.Fronts[1].Name, g.Fronts[1].Listen, c.Replicas = "x", "y", ":8003", 2
		}, `fronts.y.listen: the port 8003 of replica 0 is already that of fronts.x (choose ports further apart)`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for i, to := range targets() {
				if c.to >= 0 && c.to != i {
					continue
				}
				g, config := small("a", "b"), to.config
				config.Name, config.Replicas = "svc", 1
				c.change(g, &config)
				files, err := to.export(g, config)
				assert.EqualError(t, err, c.want, to.name)
				var invalid *graph.Invalid
				assert.ErrorAs(t, err, &invalid)
				assert.Empty(t, files)
			}
		})
	}
}

// All that is wrong is said at once.
func TestEveryProblemIsReported(t *testing.T) {
	g := small("a", "A")
	_, err := export.Kubernetes(g, export.Config{Name: "-", Binary: "x", Replicas: 101, Images: map[string]string{"z": "y"}})
	var invalid *graph.Invalid
	require.ErrorAs(t, err, &invalid)
	assert.Len(t, invalid.Problems, 6, "%v", err)
}

func TestGraphsTooLargeForOneFile(t *testing.T) {
	for _, to := range targets() {
		g := small("a")
		g.Stages[0].Command = []string{strings.Repeat("x", graph.MaxFile)}
		to.config.Name = "svc"
		_, err := to.export(g, to.config)
		assert.ErrorContains(t, err, "bytes, at most 1048576 are read", to.name)
		g.Stages[0].Command = []string{"\xff"}
		_, err = to.export(g, to.config)
		assert.ErrorContains(t, err, "no UTF-8 text", to.name)
	}
}

// Numbers without sense give numbers that fit.
func TestBoundsAreBounded(t *testing.T) {
	g := small("a")
	g.Fronts[0].DrainTimeout = math.MaxInt64
	g.Fronts[0].MaxPendingBytes, g.Fronts[0].MaxConns = math.MaxInt64, math.MaxInt32
	g.Stages[0].MaxQueueBytes = math.MaxInt64
	o := decodeSet(t, exported(t, targets()[1], "svc", g))
	s := o.fronts["svc-front"]
	assert.LessOrEqual(t, time.Duration(*s.Spec.Template.Spec.TerminationGracePeriodSeconds)*time.Second, 31*24*time.Hour)
	for _, w := range o.workloads() {
		limits := w.container().Resources.Limits
		memory := limits.Memory().Value()
		assert.Positive(t, memory)
		assert.Less(t, memory, int64(64<<40), w.name)
	}
	project(t, exported(t, targets()[2], "svc", g))
	units(t, exported(t, targets()[0], "svc", g))
}

// Whatever names a graph has, what is made of it is valid, or it is refused.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"a", "A_b.C", "null", "true", "1e3", "a-", "a--b", "x.service", "0", "y", strings.Repeat("x", 63)} {
		f.Add(s, s, "front")
		f.Add("svc", "a", s)
	}
	f.Fuzz(func(t *testing.T, name, stage, front string) {
		text := fmt.Sprintf("version: 1\nfronts: {%q: {}}\nroutes: [{prefix: /, stage: %q}]\nstages: {%q: {worker: w}}\n", front, stage, stage)
		g, err := graph.Parse([]graph.File{{Name: "g.yaml", Data: []byte(text)}}, graph.Options{})
		if err != nil {
			return // no graph has such names
		}
		for i, to := range targets() {
			to.config.Name, to.config.Replicas = name, 1
			made, err := to.export(g, to.config)
			if err != nil {
				var invalid *graph.Invalid
				require.ErrorAs(t, err, &invalid)
				continue
			}
			files := make(map[string][]byte)
			for _, file := range made {
				files[file.Name] = file.Data
			}
			switch i {
			case 0:
				units(t, files)
			case 1:
				assert.ElementsMatch(t, rolesOf(separate(t, files["graph.yaml"])), keys(decodeSet(t, files).roles(t)))
			case 2:
				assert.ElementsMatch(t, rolesOf(separate(t, files["graph.yaml"])), keys(composeRoles(t, project(t, files))))
			}
		}
	})
}
