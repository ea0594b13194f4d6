package daemon_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/pipeline"
)

// selfSigned writes a certificate for 127.0.0.1 and its key into one file, and
// returns what trusts it.
func selfSigned(t *testing.T) (file string, trust *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	file = filepath.Join(t.TempDir(), "both.pem")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	trust = x509.NewCertPool()
	require.True(t, trust.AppendCertsFromPEM(text))
	return file, trust
}

// The demo and a graph file serve HTTPS, and say so.
func TestServingHTTPS(t *testing.T) {
	file, trust := selfSigned(t)
	graph := filepath.Join(t.TempDir(), "g.yaml")
	require.NoError(t, os.WriteFile(graph, []byte("version: 1\nfront: {listen: \"127.0.0.1:0\", tls: {cert: "+file+", key: "+file+", min_version: 1.3}}\n"+
		"routes: [{prefix: /, stage: work}]\nstages: {work: {worker: work}}\n"), 0o600))
	for _, args := range [][]string{
		{"--listen", "127.0.0.1:0", "--tls-cert", file, "--tls-key", file, "--tls-min-version", "1.3"},
		{"run", graph},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		c := execute(ctx, oneStage(crash), args...)
		url := c.stderr.says(t, "url=")
		require.Contains(t, url, "https://")
		get := func(most uint16) error {
			transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust, MaxVersion: most}, DisableKeepAlives: true}
			r, err := (&http.Client{Transport: transport}).Get(url)
			if err != nil {
				return err
			}
			defer r.Body.Close()
			body, err := io.ReadAll(r.Body)
			assert.Equal(t, "done", string(body))
			return err
		}
		require.NoError(t, get(tls.VersionTLS13))
		require.Error(t, get(tls.VersionTLS12))
		cancel()
		require.Zero(t, c.ends(t))
	}
}

// The flags about proxies before the front reach it.
func TestEdgeFlags(t *testing.T) {
	h := func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
		r, err := job.Request()
		if err != nil {
			return pipeline.Result{}, err
		}
		return pipeline.Text(200, job.RequestID()+" "+r.Header().Get("X-Forwarded-For")), nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	c := execute(ctx, oneStage(h), "--listen", "127.0.0.1:0", "--trusted-proxy", "127.0.0.0/8", "--trusted-proxy", "::1", "--request-id-header", "X-Request-Id")
	request, err := http.NewRequest(http.MethodGet, c.stderr.says(t, "url="), nil)
	require.NoError(t, err)
	request.Header.Set("X-Forwarded-For", "192.0.2.1")
	request.Header.Set("X-Request-Id", "abc")
	r, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	require.NoError(t, err)
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	assert.Equal(t, "abc 192.0.2.1", string(body))
	cancel()
	require.Zero(t, c.ends(t))

	for reason, args := range map[string][]string{
		"no address or network":               {"--trusted-proxy", "10.0.0.1/8"},
		"want x-forwarded, rfc7239 or none":   {"--forwarded", "yes"},
		"nothing without --request-id-header": {"--request-id-from", "everyone"},
		"no field that may be replaced":       {"--request-id-header", "Host"},
		"want trusted_proxies or everyone":    {"--request-id-from", "all"},
	} {
		c := execute(t.Context(), oneStage(h), append([]string{"--listen", "127.0.0.1:0"}, args...)...)
		assert.Equal(t, 2, c.ends(t), reason)
		assert.Contains(t, c.stderr.String(), reason)
	}
}

func TestTLSFlagsThatMakeNoSense(t *testing.T) {
	file, _ := selfSigned(t)
	for reason, args := range map[string][]string{
		"each certificate needs its key":      {"--tls-cert", file},
		"want 1.2 or 1.3":                     {"--tls-cert", file, "--tls-key", file, "--tls-min-version", "1.1"},
		"nothing without --tls-cert":          {"--tls-client-ca", file},
		"nothing without --tls-client-ca":     {"--tls-cert", file, "--tls-key", file, "--tls-client-auth", "optional"},
		"want require or optional":            {"--tls-client-auth", "perhaps"},
		"--tls-cert and --tls-key want files": {"--tls-cert", "", "--tls-key", ""},
	} {
		c := execute(t.Context(), oneStage(crash), append([]string{"--listen", "127.0.0.1:0"}, args...)...)
		assert.Equal(t, 2, c.ends(t), reason)
		assert.Contains(t, c.stderr.String(), reason)
	}
	c := execute(t.Context(), oneStage(crash), "--listen", "127.0.0.1:0", "--tls-cert", "/nowhere", "--tls-key", file)
	assert.Equal(t, 1, c.ends(t))
	assert.Contains(t, c.stderr.String(), "/nowhere")
}
