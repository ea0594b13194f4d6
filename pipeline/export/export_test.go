package export_test

import (
	"cmp"
	"flag"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/pipeline/export"
	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

var rewrite = flag.Bool("rewrite", false, "write the files in testdata/golden anew; review the difference")

// target is one that graphs can be exported to.
type target struct {
	name   string
	export func(*graph.Graph, export.Config) ([]export.File, error)
	config export.Config
}

// targets with the configuration of the golden files.
func targets() []target {
	inImages := export.Config{Binary: "/prime-serverd", Image: "registry.example/prime-serverd:1.0", Replicas: 2}
	return []target{
		{"systemd", export.Systemd, export.Config{Binary: "/usr/local/bin/prime-serverd"}},
		{"kubernetes", export.Kubernetes, inImages},
		{"compose", export.Compose, inImages},
	}
}

// graphs are the files of testdata by their names.
func graphs(t *testing.T) map[string]*graph.Graph {
	t.Helper()
	names, err := filepath.Glob("testdata/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	all := make(map[string]*graph.Graph)
	for _, name := range names {
		g, err := graph.Load([]string{name}, graph.Options{})
		require.NoError(t, err)
		all[filepath.Base(name[:len(name)-len(".yaml")])] = g
	}
	return all
}

// exported exports one of the graphs, and returns the files by their names.
func exported(t *testing.T, to target, name string, g *graph.Graph) map[string][]byte {
	t.Helper()
	to.config.Name = name
	files, err := to.export(g, to.config)
	require.NoError(t, err)
	all := make(map[string][]byte)
	for _, f := range files {
		assert.NotContains(t, all, f.Name, "made twice")
		assert.Equal(t, filepath.Base(f.Name), f.Name)
		all[f.Name] = f.Data
	}
	return all
}

// onEach runs a test on what one target makes of each graph.
func onEach(t *testing.T, name string, test func(t *testing.T, name string, from *graph.Graph, files map[string][]byte)) {
	i := slices.IndexFunc(targets(), func(to target) bool { return to.name == name })
	for service, g := range graphs(t) {
		t.Run(service, func(t *testing.T) { test(t, service, g, exported(t, targets()[i], service, g)) })
	}
}

func TestGolden(t *testing.T) {
	for _, to := range targets() {
		for name, g := range graphs(t) {
			t.Run(to.name+"/"+name, func(t *testing.T) {
				dir := filepath.Join("testdata", "golden", to.name, name)
				made := exported(t, to, name, g)
				if *rewrite {
					require.NoError(t, os.RemoveAll(dir))
					require.NoError(t, os.MkdirAll(dir, 0o755))
					for file, data := range made {
						require.NoError(t, os.WriteFile(filepath.Join(dir, file), data, 0o644))
					}
					return
				}
				want := make(map[string]string)
				entries, err := os.ReadDir(dir)
				require.NoError(t, err)
				for _, e := range entries {
					data, err := os.ReadFile(filepath.Join(dir, e.Name()))
					require.NoError(t, err)
					want[e.Name()] = string(data)
				}
				for file, data := range made {
					assert.Equal(t, want[file], string(data), file)
					delete(want, file)
				}
				assert.Empty(t, want, "no longer made")
			})
		}
	}
}

// separate loads a graph that was made for processes with nothing in common.
func separate(t *testing.T, data []byte) *graph.Graph {
	t.Helper()
	g := loaded(t, "graph.yaml", data)
	for _, r := range g.AllRoles() {
		assert.Empty(t, g.CheckRoles(r))
	}
	return g
}

// assertSameButForPlaces makes sure that a graph says what another does, fronts
// and endpoints left aside.
func assertSameButForPlaces(t *testing.T, want, got *graph.Graph) {
	t.Helper()
	rest := func(g graph.Graph) string {
		g.Fronts, g.Stages, g.Network = nil, slices.Clone(g.Stages), ""
		g.MTLS.CA, g.MTLS.Cert, g.MTLS.Key = nil, "", ""
		for i := range g.Stages {
			s := g.Stages[i].WithPairs(make([]graph.Pair, len(g.Stages[i].Pairs())))
			s.More, s.Proxies = nil, len(s.Pairs())
			g.Stages[i] = s
		}
		data, err := g.Encode()
		require.NoError(t, err)
		return string(data)
	}
	assert.Equal(t, rest(*want), rest(*got))
}

// hostPort returns where an endpoint leads, which binds the same port of every
// address.
func hostPort(t *testing.T, e graph.Endpoint) (host, port string) {
	t.Helper()
	scheme, address, _ := strings.Cut(e.Connect, "://")
	host, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	assert.Equal(t, scheme+"://*:"+port, e.Bind)
	return host, port
}

// Endpoints stay secured in containers, and each part that is at one has its
// certificate there; who is not has none.
func TestCertificatesAreWhereTheGraphLooksForThem(t *testing.T) {
	from := graphs(t)["remote"]
	secret := regexp.MustCompile(`secretName: (\S+)`)
	for _, to := range targets()[1:] {
		files := exported(t, to, "remote", from)
		g := separate(t, files["graph.yaml"])
		for _, w := range g.Warnings {
			assert.NotContains(t, w.Message, "plain tcp", "the network is the service's own")
		}
		for _, e := range []graph.Endpoint{g.Fronts[1].Loopback, g.Fronts[0].Interrupt, g.Stages[0].Upstream, g.Stages[0].Downstream, g.Stages[1].Upstream} {
			assert.True(t, e.Secure(), e)
		}
		assert.False(t, g.Stages[1].Downstream.Secure(), "the graph had none")
		for _, r := range g.AllRoles() {
			id := g.Identity(r)
			require.NotNil(t, id, r)
			assert.Equal(t, []string{"/etc/butterfly-tls/ca.crt"}, id.CA, r)
			assert.Equal(t, "/etc/butterfly-tls/tls.crt", id.Cert, r)
			assert.Equal(t, "/etc/butterfly-tls/tls.key", id.Key, r)
		}
		assert.Equal(t, []string{"front.remote.example", "spiffe://remote.example/workers/*"}, g.Identity(graph.Role{Kind: graph.RoleProxy, Name: "compute"}).Peers["tls+tcp://*:7201"])
		var all string
		for _, data := range files {
			all += string(data)
		}
		if to.name == "compose" {
			assert.Equal(t, 6, strings.Count(all, ":/etc/butterfly-tls:ro"))
			continue
		}
		var names []string
		for _, m := range secret.FindAllStringSubmatch(all, -1) {
			names = append(names, m[1])
		}
		assert.ElementsMatch(t, []string{"remote-front-tls", "remote-proxy-parse-tls", "remote-workers-parse-tls", "remote-proxy-compute-tls", "remote-workers-compute-tls"}, names)
	}
	for name, data := range exported(t, targets()[0], "remote", from) {
		isUnit := strings.HasSuffix(name, ".service")
		assert.Equal(t, isUnit, strings.Contains(string(data), "SupplementaryGroups=butterfly-tls"), name)
		assert.Equal(t, isUnit, !strings.Contains(string(data), "PrivateUsers=yes") && isUnit, name)
	}
	for _, to := range targets() {
		for name, data := range exported(t, to, "primes", graphs(t)["primes"]) {
			assert.NotContains(t, string(data), "butterfly-tls", name)
		}
	}
}

// loaded loads a graph that was made.
func loaded(t *testing.T, name string, data []byte) *graph.Graph {
	t.Helper()
	require.NotNil(t, data, name)
	g, err := graph.Parse([]graph.File{{Name: name, Data: data}}, graph.Options{LookupEnv: func(string) (string, bool) { return "", false }})
	require.NoError(t, err, "%s", data)
	return g
}

// rolesOf returns the roles that have to run for a graph to be whole.
func rolesOf(g *graph.Graph) []string {
	var roles []string
	for _, r := range g.AllRoles() {
		roles = append(roles, r.String())
	}
	return roles
}

// assertGrace makes sure that a part of a graph may drain before it is killed,
// and that nobody waits much longer for one that is stuck.
func assertGrace(t *testing.T, grace time.Duration, g *graph.Graph) {
	t.Helper()
	drain := time.Duration(0)
	for _, f := range g.Fronts {
		drain = max(drain, cmp.Or(f.DrainTimeout, 28*time.Second))
	}
	assert.GreaterOrEqual(t, grace, drain+2*time.Second)
	assert.Less(t, grace, drain+10*time.Second)
}

// endpoints returns all endpoints of a graph, by the role that binds them.
func endpoints(t *testing.T, g *graph.Graph) map[string][]graph.Endpoint {
	all := make(map[string][]graph.Endpoint)
	for _, f := range g.Fronts {
		all[graph.Role{Kind: graph.RoleFront, Name: f.Name}.String()] = []graph.Endpoint{f.Loopback, f.Interrupt}
	}
	for _, s := range g.Stages {
		for i, r := range g.Each(graph.Role{Kind: graph.RoleProxy, Name: s.Name}) {
			p := s.Pairs()[i]
			all[r.String()] = []graph.Endpoint{p.Upstream, p.Downstream}
		}
	}
	for _, bound := range all {
		assert.NotEqual(t, bound[0].Bind, bound[1].Bind)
	}
	return all
}

func keys[V any](m map[string]V) []string { return slices.Collect(maps.Keys(m)) }
