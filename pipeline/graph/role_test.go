package graph_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

func TestParseRole(t *testing.T) {
	for text, want := range map[string]graph.Role{
		"front":           {Kind: graph.RoleFront, Name: "front"},
		"front:eu":        {Kind: graph.RoleFront, Name: "eu"},
		"proxy:parse":     {Kind: graph.RoleProxy, Name: "parse"},
		"workers:compute": {Kind: graph.RoleWorkers, Name: "compute"},
	} {
		r, err := graph.ParseRole(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, r)
		assert.Equal(t, text, r.String())
	}
	for _, text := range []string{"", "proxy", "workers:", "front:", "worker:a", "Front", ":a"} {
		_, err := graph.ParseRole(text)
		var wrong *graph.RoleError
		assert.True(t, errors.As(err, &wrong), text)
	}
}

func roles(t *testing.T, texts ...string) []graph.Role {
	t.Helper()
	var all []graph.Role
	for _, s := range texts {
		r, err := graph.ParseRole(s)
		require.NoError(t, err)
		all = append(all, r)
	}
	return all
}

func TestAllRoles(t *testing.T) {
	assert.Equal(t, roles(t, "front:eu", "front:us", "proxy:split", "workers:split", "proxy:part", "workers:part", "proxy:join", "workers:join", "proxy:legacy"),
		load(t, "testdata/good/fronts.yaml").AllRoles())
	assert.Equal(t, roles(t, "front", "proxy:primes", "workers:primes", "proxy:echo", "workers:echo"),
		load(t, "testdata/good/parts").AllRoles())
}

func TestRolesWithAllEndpoints(t *testing.T) {
	g := load(t, "testdata/good/fronts.yaml")
	for _, r := range g.AllRoles() {
		assert.Empty(t, g.CheckRoles(r), "%v", r)
	}
}

// Each line is a process, and the endpoints that it lacks.
func TestRolesWithoutEndpoints(t *testing.T) {
	g := load(t, "testdata/good/parts") // primes leads to echo
	for _, c := range []struct {
		roles, missing []string
	}{
		{[]string{"front"}, []string{"front.loopback", "front.interrupt", "stages.primes.upstream", "stages.echo.upstream"}},
		{[]string{"proxy:echo"}, []string{"front.loopback", "front.interrupt", "stages.echo.upstream", "stages.echo.downstream"}},
		{[]string{"workers:echo"}, []string{"front.loopback", "front.interrupt", "stages.echo.downstream"}},
		{[]string{"workers:primes"}, []string{"front.loopback", "front.interrupt", "stages.primes.upstream", "stages.primes.downstream", "stages.echo.upstream"}},
		{[]string{"front", "proxy:primes", "workers:primes"}, []string{"front.loopback", "front.interrupt", "stages.echo.upstream"}},
		{[]string{"front", "proxy:primes", "workers:primes", "proxy:echo", "workers:echo"}, nil},
	} {
		var missing []string
		for _, p := range g.CheckRoles(roles(t, c.roles...)...) {
			missing = append(missing, p.Path)
			assert.NotZero(t, p.Position.Line)
		}
		assert.Equal(t, c.missing, missing, "%v", c.roles)
	}
	p := g.CheckRoles(roles(t, "workers:echo")...)[2]
	assert.Equal(t, "testdata/good/parts/30-echo.yaml:5:3: stages.echo.downstream: it is missing: workers:echo meets proxy:echo there, "+
		"which runs elsewhere (write downstream: tcp://host:port, or ipc:///path)", p.String())
}

func TestRolesThatTheGraphLacks(t *testing.T) {
	say := func(g *graph.Graph, role string) string {
		problems := g.CheckRoles(roles(t, role)...)
		require.Len(t, problems, 1)
		return problems[0].String()
	}
	two, one := load(t, "testdata/good/fronts.yaml"), load(t, "testdata/good/parts")
	assert.Equal(t, "role proxy:splt: there is no such stage (did you mean split?)", say(two, "proxy:splt"))
	assert.Equal(t, "role front:asia: there is no such front (there are: eu, us)", say(two, "front:asia"))
	assert.Equal(t, "role front: there are several (write front:NAME, of eu, us)", say(two, "front"))
	assert.Equal(t, "testdata/good/fronts.yaml:69:3: role workers:legacy: its workers are started elsewhere", say(two, "workers:legacy"))
	assert.Equal(t, "role front:eu: there is no such front (there are: front)", say(one, "front:eu"))
}

func TestRolesOfSeveralProxies(t *testing.T) {
	for _, text := range []string{"proxy:parse/1", "proxy:a.b_c-d/32"} {
		assert.Equal(t, text, roles(t, text)[0].String())
	}
	for _, text := range []string{"proxy:a/", "proxy:a/0", "proxy:a/01", "proxy:a/-1", "proxy:a/x", "proxy:/1", "proxy:a/1/2"} {
		_, err := graph.ParseRole(text)
		assert.Error(t, err, text)
	}
	g := load(t, "testdata/good/proxies.yaml")
	assert.Equal(t, roles(t, "front", "proxy:parse/1", "proxy:parse/2", "workers:parse", "proxy:compute/1", "proxy:compute/2", "proxy:compute/3", "workers:compute"), g.AllRoles())
	assert.Equal(t, roles(t, "proxy:parse/1", "proxy:parse/2"), g.Each(roles(t, "proxy:parse")[0]))
	assert.Equal(t, roles(t, "proxy:parse/2"), g.Each(roles(t, "proxy:parse/2")[0]))
	assert.Equal(t, roles(t, "workers:parse"), g.Each(roles(t, "workers:parse")[0]))
	say := func(texts ...string) (all []string) {
		for _, p := range g.CheckRoles(roles(t, texts...)...) {
			all = append(all, p.String())
		}
		return all
	}
	assert.Empty(t, say("proxy:parse/2"))
	assert.Equal(t, []string{"testdata/good/proxies.yaml:7:3: role proxy:parse/3: the stage has 2 proxies"}, say("proxy:parse/3"))
	assert.Equal(t, []string{
		"testdata/good/proxies.yaml:12:3: stages.compute.upstream: it is missing: proxy:compute/2 meets front there, which runs elsewhere (write upstream: tcp://host:port, or ipc:///path)",
		"testdata/good/proxies.yaml:12:3: stages.compute.downstream: it is missing: proxy:compute/2 meets workers:compute there, which runs elsewhere (write downstream: tcp://host:port, or ipc:///path)",
	}, say("proxy:compute/2"))

	parse, _ := g.Stage("parse")
	assert.Equal(t, "tcp://a:7201,tcp://127.0.0.1:7203", parse.Upstreams())
	assert.Equal(t, "tcp://127.0.0.1:7202,tcp://127.0.0.1:7204", parse.Downstreams())
	assert.Equal(t, "tcp://*:7201", parse.Pairs()[0].Upstream.Bind)
}
