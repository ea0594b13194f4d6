package graph_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// routes parses routes to one stage, each a line without its braces.
func routes(t testing.TB, lines ...string) *graph.Router {
	t.Helper()
	text := "version: 1\nstages: {s: {worker: w}}\nroutes:\n"
	for _, l := range lines {
		text += "  - {" + l + ", stage: s}\n"
	}
	g, err := graph.Parse([]graph.File{{Name: "routes.yaml", Data: []byte(text)}}, graph.Options{LookupEnv: noEnv})
	require.NoError(t, err)
	return graph.NewRouter(g)
}

// ask matches a GET of a path, with fields as pairs of name and value.
func ask(r *graph.Router, host, path string, fields ...string) int {
	return r.Match(graph.Request{Method: "GET", Host: host, Path: path, Header: header(fields...)}).Route
}

func header(fields ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i+1 < len(fields); i += 2 {
			if strings.EqualFold(fields[i], name) {
				return fields[i+1], true
			}
		}
		return "", false
	}
}

func TestPathsAreComparedAsSent(t *testing.T) {
	for _, c := range []struct {
		route, path string
		match       bool
	}{
		{"path: /a", "/a", true},
		{"path: /a", "/a/", false},
		{"path: /a", "/A", false},
		{"path: /a", "/", false},
		{"path: /a", "", false},
		{"path: /a", "/%61", true},
		{"path: /%61", "/a", true},
		{"path: /a~b", "/a%7eb", true},
		{"path: /a%2fb", "/a%2Fb", true},
		{"path: /a%2Fb", "/a/b", false},
		{"path: /a/b", "/a%2Fb", false},
		{"path: /a!", "/a%21", false},
		{"path: /ä", "/%c3%a4", true},
		{"path: /%C3%A4", "/ä", true},
		{"path: /a b", "/a%20b", true},
		{"path: /a%25", "/a%", true},
		{"path: /a%2561", "/a%61", false},
		{"path: /b", "/a/../b", false},
		{"path: /b", "//b", false},

		{"prefix: /", "/", true},
		{"prefix: /", "/anything/at%20all", true},
		{"prefix: /", "*", true},
		{"prefix: /", "", true},
		{"prefix: /echo/", "/echo/", true},
		{"prefix: /echo/", "/echo/x", true},
		{"prefix: /echo/", "/%65cho/x", true},
		{"prefix: /echo/", "/echo/../x", true},
		{"prefix: /echo/", "/echo", false},
		{"prefix: /echo/", "/echo%2Fx", false},
		{"prefix: /echo", "/echo", true},
		{"prefix: /echo", "/echo/x", true},
		{"prefix: /echo", "/echoes", false},
		{"prefix: /echo", "/echo%2Fx", false},
		{"prefix: /ä", "/%C3%A4/x", true},
	} {
		want := -1
		if c.match {
			want = 0
		}
		assert.Equal(t, want, ask(routes(t, c.route), "", c.path), "%s, %s", c.route, c.path)
	}
}

func TestHosts(t *testing.T) {
	for _, c := range []struct {
		pattern, host string
		match         bool
	}{
		{"example.com", "example.com", true},
		{"example.com", "Example.COM:8002", true},
		{"example.com", "example.com.", true},
		{"example.com", "www.example.com", false},
		{"example.com", "", false},
		{"Example.com", "example.com", true},
		{"*.example.com", "www.example.com", true},
		{"*.example.com", "a.b.Example.com:80", true},
		{"*.example.com", "example.com", false},
		{"*.example.com", ".example.com", false},
		{"*.example.com", "wwwexample.com", false},
		{"127.0.0.1", "127.0.0.1:8002", true},
		{"[::1]", "[::1]:8002", true},
		{"[::1]", "[::1]", true},
		{"kelvin", "\u212aelvin", false},
	} {
		want := -1
		if c.match {
			want = 0
		}
		assert.Equal(t, want, ask(routes(t, fmt.Sprintf("prefix: /, host: %q", c.pattern)), c.host, "/"), "%s, %s", c.pattern, c.host)
	}
}

func TestHeaderFields(t *testing.T) {
	r := routes(t, "prefix: /, header: {X-Kind: cheap, X-Level: 2}")
	assert.Equal(t, 0, ask(r, "", "/", "x-kind", "cheap", "X-LEVEL", "2"))
	assert.Equal(t, -1, ask(r, "", "/", "x-kind", "Cheap", "X-LEVEL", "2"))
	assert.Equal(t, -1, ask(r, "", "/", "x-kind", "cheap"))
	assert.Equal(t, -1, r.Match(graph.Request{Method: "GET", Path: "/"}).Route)
}

func TestFirstMatchWins(t *testing.T) {
	r := routes(t, "path: /a, header: {X: y}", "prefix: /a/, host: h", "prefix: /a", "prefix: /")
	assert.Equal(t, 0, ask(r, "", "/a", "X", "y"))
	assert.Equal(t, 2, ask(r, "", "/a", "X", "z"))
	assert.Equal(t, 1, ask(r, "h", "/a/b"))
	assert.Equal(t, 2, ask(r, "i", "/a/b"))
	assert.Equal(t, 3, ask(r, "h", "/b"))
}

func TestMethods(t *testing.T) {
	r := routes(t, "path: /a, methods: [GET]", "path: /a, methods: [POST], header: {X: y}", "path: /a, methods: [PUT], host: h", "path: /b")
	match := func(method, path string, fields ...string) graph.Decision {
		return r.Match(graph.Request{Method: method, Path: path, Header: header(fields...)})
	}
	assert.Equal(t, graph.Decision{Status: graph.StatusFound, Route: 0}, match("GET", "/a"))
	assert.Equal(t, graph.Decision{Status: graph.StatusFound, Route: 0}, match("HEAD", "/a"), "GET implies HEAD")
	assert.Equal(t, graph.Decision{Status: graph.StatusFound, Route: 1}, match("POST", "/a", "X", "y"))
	assert.Equal(t, graph.Decision{Status: graph.StatusFound, Route: 3}, match("BREW", "/b"), "no methods: all")
	assert.Equal(t, graph.Decision{Status: graph.StatusNotFound, Route: -1}, match("GET", "/c"))

	d := match("POST", "/a")
	assert.Equal(t, graph.StatusMethodNotAllowed, d.Status)
	assert.Equal(t, -1, d.Route)
	assert.Equal(t, "GET, HEAD", d.Allow.String())
	assert.True(t, d.Allow.Has("HEAD"))
	assert.False(t, d.Allow.Has("PUT"), "another host's")
	assert.Equal(t, "GET, HEAD, POST", match("BREW", "/a", "X", "y").Allow.String())
	assert.Equal(t, graph.StatusMethodNotAllowed, match("get", "/a").Status, "methods are case-sensitive")
}

func TestPathOfTargets(t *testing.T) {
	for target, want := range map[string]string{
		"/a?b=c":                "/a",
		"/a":                    "/a",
		"/?a":                   "/",
		"*":                     "*",
		"":                      "/",
		"?a":                    "/",
		"http://host":           "/",
		"http://host?a":         "/",
		"http://host:80/a/b?/c": "/a/b",
		"/a://b/c":              "/a://b/c",
	} {
		assert.Equal(t, want, graph.PathOf(target), target)
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	r := routes(t, "path: /a%2Fb, methods: [POST]", `prefix: /a, host: "*.example.com", header: {X-Kind: cheap}`, "prefix: /a, methods: [GET]")
	fields := header("x-kind", "dear")
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		d := r.Match(graph.Request{Method: "GET", Host: "WWW.example.com:8002", Path: "/%61/b%2Fc", Header: fields})
		if d.Route != 2 {
			panic(d)
		}
	}))
}

// FuzzMatch compares with routes written in other ways: a path matches the
// route of its own text, and escaping what needs none changes nothing.
func FuzzMatch(f *testing.F) {
	for _, seed := range []string{"/", "/a/b", "/%61%2f%2F", "/%", "/%zz", "/ä b", "//", "/a/../b", "/a%25%41"} {
		f.Add(seed, "Example.com:80")
	}
	f.Fuzz(func(t *testing.T, path, host string) {
		escaped := escapeUnreserved(path)
		g := &graph.Graph{Routes: []graph.Route{
			{Path: path, Host: "a.example"},
			{Prefix: strings.TrimSuffix(path, "/") + "/", Host: "b.example"},
			{Prefix: path, Host: "c.example"},
			{Prefix: "/", Host: "*.example.com"},
		}}
		r := graph.NewRouter(g)
		r.Match(graph.Request{Method: path, Path: host, Host: path})
		if path == "" {
			return
		}
		for _, p := range []string{path, escaped} {
			assert.Equal(t, 0, ask(r, "a.example", p), p)
			assert.Equal(t, -1, ask(r, "a.example", p+"x"))
			assert.Equal(t, 1, ask(r, "b.example", strings.TrimSuffix(p, "/")+"/x"))
			assert.Equal(t, 2, ask(r, "c.example", p))
			assert.Equal(t, 2, ask(r, "c.example", p+"/x"))
		}
		if !strings.Contains(host, ":") && !strings.HasSuffix(host, ".") {
			below := strings.HasSuffix(strings.ToLower(host), ".example.com") && len(host) > len(".example.com")
			assert.Equal(t, below, ask(r, host, "/") == 3, host)
		}
	})
}

// escapeUnreserved escapes every letter and digit that is not part of an escape.
func escapeUnreserved(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '%' && i+2 < len(s) && strings.Trim(s[i+1:i+3], "0123456789abcdefABCDEF") == "":
			out.WriteString(s[i : i+3])
			i += 2
		case c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z':
			fmt.Fprintf(&out, "%%%02x", c)
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{4, 100} {
		var lines []string
		for i := range n - 1 {
			lines = append(lines, fmt.Sprintf("path: /service/of/number/%d, methods: [GET]", i))
		}
		r := routes(b, append(lines, `prefix: /service, host: "*.example.com", header: {X-Kind: cheap}`)...)
		fields := header("X-Kind", "cheap")
		for _, path := range []string{"/service/of/another/kind", "/service/of/numbe%72/x"} {
			b.Run(fmt.Sprintf("routes=%d/path=%s", n, strings.TrimPrefix(path, "/")), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if d := r.Match(graph.Request{Method: "GET", Host: "www.example.com:8002", Path: path, Header: fields}); d.Status != graph.StatusFound {
						b.Fatal(d)
					}
				}
			})
		}
	}
}
