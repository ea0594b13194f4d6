package export_test

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// project loads a file as docker compose does: against its schema, and with all
// references followed.
func project(t *testing.T, files map[string][]byte) *types.Project {
	t.Helper()
	p, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  "/work",
		ConfigFiles: []types.ConfigFile{{Filename: "compose.yaml", Content: files["compose.yaml"]}},
		Environment: types.Mapping{},
	})
	require.NoError(t, err, "%s", files["compose.yaml"])
	return p
}

// composeRoles returns the services by the roles that they run.
func composeRoles(t *testing.T, p *types.Project) map[string]types.ServiceConfig {
	t.Helper()
	all := make(map[string]types.ServiceConfig)
	for _, s := range p.Services {
		require.Len(t, s.Command, 6)
		assert.Equal(t, types.ShellCommand{"/prime-serverd"}, s.Entrypoint)
		assert.Equal(t, []string{"run", "--role"}, []string{s.Command[0], s.Command[2]})
		assert.NotContains(t, all, s.Command[3])
		all[s.Command[3]] = s
	}
	return all
}

func TestComposeRunsTheWholeGraph(t *testing.T) {
	onEach(t, "compose", func(t *testing.T, name string, from *graph.Graph, files map[string][]byte) {
		require.Len(t, files, 2)
		p := project(t, files)
		assert.Equal(t, name, p.Name)
		g := separate(t, files["graph.yaml"])
		roles := composeRoles(t, p)
		assert.ElementsMatch(t, rolesOf(g), keys(roles))
		assert.Len(t, g.Fronts, 2*len(from.Fronts))
		assertSameButForPlaces(t, from, g)
		assert.Equal(t, "/work/graph.yaml", p.Configs["graph"].File)
		for role, s := range roles {
			require.Len(t, s.Configs, 1)
			assert.Equal(t, "graph", s.Configs[0].Source)
			assert.Equal(t, s.Command[1], s.Configs[0].Target)
			assert.Contains(t, s.Networks, "parts", role)
		}
		for role, bound := range endpoints(t, g) {
			for _, e := range bound {
				host, _ := hostPort(t, e)
				assert.Equal(t, roles[role].Name, host)
			}
		}
	})
}

// Only HTTP is published, where the graph listens.
func TestComposePublishesHTTP(t *testing.T) {
	ports := make(map[string]types.ServicePortConfig)
	onEach(t, "compose", func(t *testing.T, name string, _ *graph.Graph, files map[string][]byte) {
		g := separate(t, files["graph.yaml"])
		for role, s := range composeRoles(t, project(t, files)) {
			front, isFront := strings.CutPrefix(role, "front:")
			_, outside := s.Networks["outside"]
			assert.Equal(t, isFront, outside, role)
			if !isFront {
				assert.Empty(t, s.Ports, role)
				continue
			}
			require.Len(t, s.Ports, 1)
			f, _ := g.Front(front)
			assert.Equal(t, f.Listen, ":"+strconv.Itoa(int(s.Ports[0].Target)))
			assert.GreaterOrEqual(t, int(s.Ports[0].Target), 1024)
			ports[name+"/"+front] = s.Ports[0]
		}
	})
	at := func(name string) string { return ports[name].HostIP + ":" + ports[name].Published }
	assert.Equal(t, "127.0.0.1:8002", at("primes/front-0"))
	assert.Equal(t, "127.0.0.1:8003", at("primes/front-1"))
	assert.Equal(t, ":80", at("fronts/East.1-0"))
	assert.Equal(t, "127.0.0.1:7101", at("fronts/west-0"))
}

// The address of the graph is the one that docker publishes at.
func TestComposePublishesAtTheAddressOfTheGraph(t *testing.T) {
	for listen, want := range map[string]types.ServicePortConfig{
		"[::1]:8443":     {HostIP: "::1", Published: "8443", Target: 8443},
		"localhost:443":  {HostIP: "127.0.0.1", Published: "443", Target: 8443},
		"10.0.0.1:7102":  {HostIP: "10.0.0.1", Published: "7102", Target: 15102},
		":0":             {HostIP: "", Published: "8002", Target: 8002},
		"0.0.0.0:65535":  {HostIP: "0.0.0.0", Published: "65535", Target: 65535},
		"127.0.0.1:7201": {HostIP: "127.0.0.1", Published: "7201", Target: 7201},
	} {
		g := small("a")
		g.Fronts[0].Listen = listen
		to := targets()[2]
		to.config.Replicas = 1
		ports := project(t, exported(t, to, "svc", g)).Services["front"].Ports
		require.Len(t, ports, 1, listen)
		got := types.ServicePortConfig{HostIP: ports[0].HostIP, Published: ports[0].Published, Target: ports[0].Target}
		assert.Equal(t, want, got, listen)
	}
}

func TestComposeServicesDrainAndAreConfined(t *testing.T) {
	onEach(t, "compose", func(t *testing.T, name string, from *graph.Graph, files map[string][]byte) {
		for role, s := range composeRoles(t, project(t, files)) {
			assertGrace(t, time.Duration(*s.StopGracePeriod), from)
			assert.Equal(t, "unless-stopped", s.Restart)
			assert.True(t, s.ReadOnly)
			assert.Equal(t, "65532:65532", s.User)
			assert.Equal(t, []string{"ALL"}, s.CapDrop)
			assert.Equal(t, []string{"no-new-privileges:true"}, s.SecurityOpt)
			assert.NotZero(t, s.Deploy.Resources.Limits.MemoryBytes)
			kind, _, _ := strings.Cut(role, ":")
			if kind == "workers" {
				assert.Equal(t, 2, *s.Deploy.Replicas)
				assert.True(t, s.HealthCheck.Disable)
			}
		}
	})
}

// Services stop in the reverse order of what they depend on.
func TestComposeStopsUpstreamFirst(t *testing.T) {
	onEach(t, "compose", func(t *testing.T, name string, from *graph.Graph, files map[string][]byte) {
		p := project(t, files)
		var proxies, workers []string
		for role, s := range composeRoles(t, p) {
			switch kind, _, _ := strings.Cut(role, ":"); kind {
			case "proxy":
				proxies = append(proxies, s.Name)
			case "workers":
				workers = append(workers, s.Name)
			}
		}
		for role, s := range composeRoles(t, p) {
			on := slices.Collect(maps.Keys(s.DependsOn))
			switch kind, stage, _ := strings.Cut(role, ":"); kind {
			case "front":
				assert.ElementsMatch(t, slices.Concat(proxies, workers), on)
			case "workers":
				var roles []string
				for _, service := range on {
					roles = append(roles, p.Services[service].Command[3])
				}
				var want []string
				for _, r := range from.Each(graph.Role{Kind: graph.RoleProxy, Name: stage}) {
					want = append(want, r.String())
				}
				assert.ElementsMatch(t, want, roles)
			default:
				assert.Empty(t, on)
			}
		}
	})
}

// Health checks ask where the part really is, whatever is in the path.
func TestComposeAsksTheRightPort(t *testing.T) {
	onEach(t, "compose", func(t *testing.T, name string, _ *graph.Graph, files map[string][]byte) {
		g := separate(t, files["graph.yaml"])
		for role, s := range composeRoles(t, project(t, files)) {
			kind, part, _ := strings.Cut(role, ":")
			if kind == "workers" {
				continue
			}
			test := s.HealthCheck.Test
			require.Len(t, test, 4)
			assert.Equal(t, types.HealthCheckTest{"CMD", "/prime-serverd", "probe"}, test[:3])
			u, err := url.Parse(test[3])
			require.NoError(t, err)
			if kind == "proxy" {
				name, _, _ := strings.Cut(part, "/")
				st, _ := g.Stage(name)                               // all proxies have the same port, each in its container
				bind := strings.TrimPrefix(st.Upstream.Bind, "tls+") // whether it accepts is all that is asked
				assert.Equal(t, strings.Replace(bind, "*", "127.0.0.1", 1), test[3])
				continue
			}
			f, _ := g.Front(part)
			assert.Equal(t, "127.0.0.1"+f.Listen, u.Host)
			if f.TLS.ClientCA != "" {
				assert.Equal(t, "tcp", u.Scheme)
				continue
			}
			assert.Equal(t, f.Ready, u.Path)
			assert.Equal(t, f.Scheme(), u.Scheme)
		}
	})
}
