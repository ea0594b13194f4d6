//go:build linux

package e2e

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/mtls"
	"github.com/butterfly-zmq/butterfly/internal/mtls/mtlstest"
)

// A graph whose parts meet over tls+tcp runs in one process, and as processes
// with a certificate for each kind of part.
func TestGraphOverTLS(t *testing.T) {
	for _, command := range []string{"run", "up"} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "tls+tcp")
			ca := mtlstest.NewAuthority(t)
			front := ca.Issue("front", []string{"front.example"})
			proxy := ca.Issue("proxy", []string{"proxy.example"})
			worker := ca.Issue("worker", []string{"spiffe://example/workers/1"})
			certificates := fmt.Sprintf(`
mtls:
  ca: [%s]
  cert: %s
  key: %s
  names: {fronts: [front.example], proxies: [proxy.example], workers: ["spiffe://example/workers/*"]}
`, ca.File, proxy.Cert, proxy.Key)
			text := strings.Replace(tight, "interrupt: @int@", fmt.Sprintf("interrupt: @int@, mtls: {cert: %s, key: %s}", front.Cert, front.Key), 1)
			text = strings.ReplaceAll(text, ".down@}", fmt.Sprintf(".down@, mtls: {workers: {cert: %s, key: %s}}}", worker.Cert, worker.Key))
			p := r.run(command, command, r.write("graph.yaml", certificates+text))
			f := p.readies("front")
			wants(t, f.addr, isPrime(mediumPrime), 200, mediumPrime)
			wants(t, f.addr, post("hi"), 200, "hi")
			assert.Zero(t, p.printed("level=ERROR"))
			p.terminate(drainLimit)
		})
	}
}

// secured makes a rig whose parts have certificates of their kinds.
func secured(t *testing.T) (*rig, *mtlstest.Authority) {
	r, ca := newRig(t, "tls+tcp"), mtlstest.NewAuthority(t)
	r.flags = make(map[string][]string)
	for _, kind := range []string{"front", "proxy", "worker"} {
		r.flags[kind] = mtlsFlags(ca.Issue(kind, []string{kind + ".example"}))
	}
	return r, ca
}

// mtlsFlags are the flags of a part with a certificate.
func mtlsFlags(files mtls.Config) []string {
	return []string{
		"--mtls-ca", files.CA[0], "--mtls-cert", files.Cert, "--mtls-key", files.Key,
		"--mtls-allow", "fronts=front.example", "--mtls-allow", "proxies=proxy.example", "--mtls-allow", "workers=worker.example",
	}
}

// Parts alone meet by their flags. Whoever shows a certificate of the wrong kind
// gets nowhere, both sides say so, and the others go on.
func TestAWorkersCertificateIsNoFronts(t *testing.T) {
	t.Parallel()
	r, _ := secured(t)
	proxy := r.proxy(ours, echo)
	r.worker(ours, echo, 2)
	good := r.front(ours, []stage{echo})
	ready(t, good)
	wants(t, good.addr, post("one"), 200, "one")

	worker := r.flags["worker"]
	at := func(kind string, flags ...string) *process {
		return r.run("false "+kind, append(append([]string{kind}, flags...), worker...)...)
	}
	own := newRig(t, "ipc")
	front := at("front", "--listen", "127.0.0.1:0", "--proxy", r.up(echo), "--loopback", own.loopback(""), "--interrupt", own.interrupt(""))
	front.says("the peer refuses us")
	says(t, proxy, "is for worker.example, want front.example", "front")

	// A worker whose certificate is a front's.
	stranger := r.flags["front"]
	w := r.run("false worker", append([]string{"worker", "echo", "--upstream-proxy", r.down(echo), "--loopback", r.loopback(""), "--interrupt", r.interrupt("")}, stranger...)...)
	w.says("the peer refuses us")
	good.says("is for front.example, want")

	// Plain ones.
	plain := func(endpoint string) string { return strings.TrimPrefix(endpoint, "tls+") }
	p := r.run("plain worker", "worker", "echo", "--upstream-proxy", plain(r.down(echo)), "--loopback", plain(r.loopback("")), "--interrupt", plain(r.interrupt("")))
	p.says("the peer speaks TLS")
	for range 5 {
		wants(t, good.addr, post("two"), 200, "two")
	}
}

// says waits for a line of a process, whose lines of one kind are bounded.
func says(t *testing.T, p *process, text, what string) {
	t.Helper()
	_, ok := p.saysWithin(30*time.Second, text, 1)
	assert.True(t, ok, "%s: no line with %s\n%s", what, text, p.tail(20))
}

// Certificates are renewed below a load, and nothing of it is lost: connections go
// on, and processes that start anew meet by the new ones.
func TestCertificatesAreRenewedUnderLoad(t *testing.T) {
	t.Parallel()
	r, ca := secured(t)
	r.proxy(ours, echo)
	first := r.worker(ours, echo, 2)
	f := r.front(ours, []stage{echo})
	ready(t, f)
	l := startLoad(f.addr)
	l.more(t, 200)
	for _, kind := range []string{"front", "proxy", "worker"} {
		ca.Issue(kind, []string{kind + ".example", "renewed.example"})
	}
	eventually(t, "the front reads its new certificate", func() bool {
		c, err := net.Dial("tcp", strings.TrimPrefix(r.loopback(""), "tls+tcp://"))
		require.NoError(t, err)
		require.NoError(t, c.Close())
		return f.printed("renewed.example") > 0
	})
	second := r.worker(ours, echo, 2)
	l.more(t, 200)
	first.terminate(drainLimit)
	l.more(t, 200)
	statuses, errs := l.end()
	require.Empty(t, errs)
	assert.Len(t, statuses, 1, "%v", statuses)
	second.alive()
}

// What is wrong with certificates is said at the start, and ends the process.
func TestCertificatesThatCannotBeReadEndTheProcess(t *testing.T) {
	t.Parallel()
	r, ca := secured(t)
	other := ca.Issue("other", []string{"x"})
	files := ca.Issue("mixed", []string{"worker.example"})
	files.Key = other.Key
	p := r.run("worker", append([]string{"worker", "echo", "--upstream-proxy", r.down(echo), "--loopback", r.loopback(""), "--interrupt", r.interrupt("")}, mtlsFlags(files)...)...)
	assert.Equal(t, 1, p.endsWithin(10*time.Second))
	assert.NotZero(t, p.printed("private key does not match public key"))
}
