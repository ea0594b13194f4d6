package graph_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/mtls"
	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// Whom each part meets where: its own kind's names for those who may connect,
// the owner's for whom it connects to. Workers cannot be what fronts are.
func TestIdentitiesOfParts(t *testing.T) {
	g := load(t, "testdata/good/mtls.yaml")
	assert.Empty(t, g.Warnings)
	const workers, compute = "spiffe://example/workers/*", "spiffe://example/compute"

	front := g.Identity(graph.Role{Kind: graph.RoleFront, Name: "front"})
	require.NotNil(t, front)
	assert.Equal(t, []string{"/etc/butterfly/ca.pem"}, front.CA)
	assert.Equal(t, "/etc/butterfly/front.pem", front.Cert)
	assert.Equal(t, "/etc/butterfly/front.key", front.Key)
	all := []string{"compute.example", "proxy.example", compute, workers}
	assert.Equal(t, all, front.Peers["tls+tcp://*:7101"], "all who answer")
	assert.Equal(t, all, front.Peers["tls+tcp://*:7102"])
	assert.Equal(t, []string{"proxy.example"}, front.Peers["tls+tcp://parse.example:7201"])
	assert.Equal(t, []string{"compute.example"}, front.Peers["tls+tcp://compute.example:7211"])

	proxy := g.Identity(graph.Role{Kind: graph.RoleProxy, Name: "compute"})
	assert.Equal(t, "/etc/butterfly/own.pem", proxy.Cert)
	assert.Equal(t, []string{"front.example", compute, workers}, proxy.Peers["tls+tcp://*:7211"], "fronts, and workers that forward")
	assert.Equal(t, []string{"front.example"}, proxy.Peers["tls+tcp://front.example:7101"])

	proxy = g.Identity(graph.Role{Kind: graph.RoleProxy, Name: "parse"})
	assert.Equal(t, []string{"front.example"}, proxy.Peers["tls+tcp://*:7201"], "nobody forwards here")
	assert.Equal(t, []string{workers}, proxy.Peers["tls+tcp://*:7202"])

	worker := g.Identity(graph.Role{Kind: graph.RoleWorkers, Name: "compute"})
	assert.Equal(t, "/etc/butterfly/w.pem", worker.Cert)
	assert.Equal(t, []string{"compute.example"}, worker.Peers["tls+tcp://compute.example:7211"])

	assert.Nil(t, load(t, "testdata/good/whole.yaml").Identity(graph.Role{Kind: graph.RoleFront, Name: "front"}))
}

// What the file takes for a name the handshakes do, too.
func TestCertificateNamesAreTheTransports(t *testing.T) {
	for _, name := range []string{
		"a", "a.b", "*.a", "spiffe://a", "spiffe://a/b/*", "urn://x", "-", "xn--bcher-kva.example", "a_b",
		"*", "*.", "a*", "a.*", "**.a", "a b", "a,b", "http://", "://a", "spiffe://*", "spiffe://a/*/b", "spiffe://a/b*", "a/b", "a:1", "x@y", "a\tb",
	} {
		text := "version: 1\nmtls: {ca: [c], cert: o, key: k, names: {fronts: [f], proxies: [p], workers: [\"" + name + "\"]}}\n" +
			"front: {loopback: 'tls+tcp://h:1'}\nroutes: [{prefix: /, stage: s}]\nstages: {s: {worker: w}}\n"
		_, err := graph.Parse([]graph.File{{Name: "n.yaml", Data: []byte(text)}}, graph.Options{LookupEnv: noEnv})
		assert.Equal(t, mtls.CheckName(name) == nil, err == nil, "%q: %v", name, err)
	}
}
