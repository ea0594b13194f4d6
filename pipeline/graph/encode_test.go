package graph_test

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// full is a graph that says something in every field, dollar signs and other
// marks of YAML included.
func full() *graph.Graph {
	cors := graph.CORS{Origins: []string{"null", "https://*.a"}, Methods: []string{"GET"}, Headers: []string{"*"}, Expose: []string{"1"}, Credentials: true, MaxAge: time.Minute}
	return &graph.Graph{
		Fronts: []graph.Front{{
			Name: "east", Listen: ":8002",
			TLS: graph.FrontTLS{Certificate: graph.Certificate{Cert: "a.pem", Key: "a$.key"}, SNI: []graph.Certificate{{Cert: "b", Key: "b"}},
				ClientCA: "1", ClientAuth: graph.ClientAuthOptional, MinVersion: graph.TLS13},
			TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}, Forwarded: graph.ForwardedRFC7239,
			RequestIDHeader: "X-Trace", RequestIDFrom: graph.RequestIDFromEveryone, CORS: cors,
			Compress:  graph.Compress{Encodings: []graph.Encoding{graph.Gzip, graph.Zstd}, MinSize: 300, Types: []string{"text/*"}},
			Loopback:  graph.Endpoint{Bind: "tcp://*:7101", Connect: "tcp://east:7101"},
			Interrupt: graph.Endpoint{Bind: "ipc:///run/x/${int}", Connect: "ipc:///run/x/${int}"},
			Timeout:   graph.Never, HeaderTimeout: 1500 * time.Millisecond, BodyTimeout: time.Hour, IdleTimeout: time.Nanosecond,
			WriteTimeout: 3 * time.Microsecond, HalfCloseGrace: time.Nanosecond, DrainTimeout: 61 * time.Second,
			MaxBody: 10 << 20, MaxHeader: 1000, MaxPendingBytes: 100<<20 + 1, MaxTarget: 512, MaxPending: 7, MaxConns: 8, StreamWindow: 1 << 20, StreamIdle: 9 * time.Second, ProxyGrace: 3 * time.Second, DrainDelay: 2 * time.Second, MaxConnsPerClient: 6, MaxRequestsPerConn: 5,
			Spool: graph.Spool{Dir: "/var/spool/a: $b", MaxBytes: 3 << 30},
			Live:  "/live: yes", Ready: "/%41ready", AccessLog: "-", ClientHeader: "null",
			MTLS: graph.Holder{Cert: "/etc/$c", Key: "k", Names: []string{"*.east"}},
		}},
		Routes: []graph.Route{
			{Path: "/a", Host: "*.example.com", Methods: []string{"GET", "POST"}, Header: map[string]string{"X-$": "a$b", "Null": "null", "N": "1"},
				Stage: "123", Timeout: graph.Never, Priority: "null", CORS: cors, Repeat: graph.RepeatNever, ClientHeader: "X-Key",
				MaxBody: 1 << 30, SpoolAbove: 1 << 20, BodyTimeout: time.Minute},
			{Path: "/old", Stage: "1_0"},
			{Prefix: "/", Stage: "123"},
		},
		Stages: []graph.Stage{
			{Name: "123", Upstream: graph.Endpoint{Bind: "tcp://*:1", Connect: "tcp://[::1]:1"}, Downstream: graph.Endpoint{Bind: "tcp://a:2", Connect: "tcp://a:2"},
				Command: []string{"sh", "-c", "echo \"$HOME\" # it's\n\ttwo lines ", "", " ", "\x01\u0085\ufeff", "- x", "~", "${"},
				Env:     map[string]string{"Y": "yes", "E": ""}, Next: []string{"true", "1e3"},
				Count: 3, MaxVisits: 4, MaxQueue: 5, MaxQueueBytes: 3 << 30, MaxForwarded: 6, MaxForwardedBytes: 5 << 20, Admission: graph.AdmitDeadline, NoWorkers: graph.NoWorkersRefuse,
				Timeout: 90 * time.Second, Repeat: graph.RepeatAlways, Attempts: 7, MaxAge: 25 * time.Hour,
				MTLS: graph.StageMTLS{Proxy: graph.Holder{Names: []string{"spiffe://a/*"}}, Workers: graph.Holder{Cert: "c", Key: "k"}}},
			{Name: "true", External: true, Next: []string{"1e3", "3"}},
			{Name: "1e3", Worker: "0x10", Timeout: time.Second, MaxHung: 3, Proxies: 2,
				Upstream: graph.Endpoint{Bind: "tcp://*:3", Connect: "tcp://b:3"}, Downstream: graph.Endpoint{Bind: "ipc:///run/d", Connect: "ipc:///run/d"},
				More: []graph.Pair{{Upstream: graph.Endpoint{Bind: "tcp://*:4", Connect: "tcp://c:4"}, Downstream: graph.Endpoint{Bind: "ipc:///run/e", Connect: "ipc:///run/e"}}}},
			{Name: "3", Worker: "made-up", Proxies: 3},
			{Name: "1_0", Compat: graph.CompatPrimeServer},
		},
		Limits:  graph.Limits{MaxHops: 9, FrontGrace: 4 * time.Second},
		Metrics: graph.Metrics{Listen: "[::1]:9464"},
		MTLS: graph.MTLS{CA: []string{"a", "true"}, Cert: "1", Key: "2", Names: graph.RoleNames{
			Fronts: []string{"f"}, Proxies: []string{"p", "spiffe://p"}, Workers: []string{"w"},
		}},
		Network:    graph.NetworkPrivate,
		Priorities: []graph.Priority{{Name: "null", Weight: 3}, {Name: "10", Weight: 1000}},
	}
}

// said returns what a graph says, without the places where it said it.
func said(v any) any {
	switch v := reflect.ValueOf(v); v.Kind() {
	case reflect.Slice:
		var all []any
		for i := range v.Len() {
			all = append(all, said(v.Index(i).Interface()))
		}
		return all
	case reflect.Struct:
		fields := make(map[string]any)
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Name != "Position" && f.Name != "Warnings" {
				fields[f.Name] = said(v.Field(i).Interface())
			}
		}
		return fields
	default:
		return v.Interface()
	}
}

func decode(t *testing.T, data []byte) *graph.Graph {
	t.Helper()
	g, err := graph.Parse([]graph.File{{Name: "encoded.yaml", Data: data}}, graph.Options{LookupEnv: noEnv})
	require.NoError(t, err, "%s", data)
	return g
}

func TestEncodeLoadsAsAnEqualGraph(t *testing.T) {
	cases := map[string]*graph.Graph{
		"loaded":  load(t, "testdata/good/whole.yaml"),
		"proxies": load(t, "testdata/good/proxies.yaml"),
		"no health": {
			Fronts: []graph.Front{{Name: "front", Listen: "127.0.0.1:1"}},
			Routes: []graph.Route{{Prefix: "/", Stage: "a"}},
			Stages: []graph.Stage{{Name: "a", Worker: "w"}},
			Limits: graph.Limits{MaxHops: graph.DefaultMaxHops}, Priorities: graph.DefaultPriorities(),
		},
	}
	for name, g := range cases {
		t.Run(name, func(t *testing.T) { assertComesBack(t, g) })
	}
}

func TestEncodeKeepsEveryField(t *testing.T) {
	g := full()
	assertSaysAll(t, []graph.Graph{*g})
	assertSaysAll(t, g.Fronts)
	assertSaysAll(t, g.Routes)
	assertSaysAll(t, g.Stages)
	assertSaysAll(t, []graph.Limits{g.Limits})
	assertSaysAll(t, []graph.MTLS{g.MTLS})
	assertSaysAll(t, []graph.RoleNames{g.MTLS.Names})
	assertSaysAll(t, []graph.Holder{g.Fronts[0].MTLS})
	assertSaysAll(t, []graph.Metrics{g.Metrics})
	assertSaysAll(t, g.Priorities)
	assertComesBack(t, g)
}

// assertSaysAll makes sure that full leaves out no field, one that is new
// included.
func assertSaysAll[T any](t *testing.T, elements []T) {
	t.Helper()
	there := make(map[string]bool)
	for _, e := range elements {
		for name, value := range said(e).(map[string]any) {
			there[name] = there[name] || value != nil && !reflect.ValueOf(value).IsZero()
		}
	}
	for name, ok := range there {
		assert.True(t, ok, "full leaves out %T.%s", elements, name)
	}
}

func assertComesBack(t *testing.T, g *graph.Graph) {
	t.Helper()
	data, err := g.Encode()
	require.NoError(t, err)
	back := decode(t, data)
	assert.Equal(t, said(*g), said(*back), "%s", data)
	again, err := back.Encode()
	require.NoError(t, err)
	assert.Equal(t, string(data), string(again))
}

func TestEncodeRefusesWhatIsNoText(t *testing.T) {
	g, err := graph.Load([]string{"testdata/good/whole.yaml"}, graph.Options{LookupEnv: noEnv})
	require.NoError(t, err)
	g.Stages[2].Command[1] = "\xff"
	_, err = g.Encode()
	var invalid *graph.Invalid
	require.ErrorAs(t, err, &invalid)
	assert.Equal(t, "stages.echo.command[1]", invalid.Problems[0].Path)
	assert.Equal(t, g.Stages[2].Position, invalid.Problems[0].Position)
}

func FuzzEncode(f *testing.F) {
	for _, s := range []string{"", "a", "$", "${A}", "$$", "<<", "null", "0x1", "1:2", "- a", "a: b", "a #b", "'", "\"", "\\", "\n", " x ", "|\n", "\t", "\u2028", "\U0001f98b", "!!str x", "&a", "*a", "%", "@", "`", "=", "2001-01-01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsRune(s, 0) || len(s) > 1000 {
			t.Skip("no value of a file")
		}
		g := full()
		g.Stages[0].Command = append(g.Stages[0].Command, s)
		g.Stages[0].Env["FUZZ"] = s
		if !utf8.ValidString(s) {
			_, err := g.Encode()
			require.Error(t, err)
			return
		}
		assertComesBack(t, g)
	})
}
