package httpfront

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// authority signs certificates for tests.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
	file string // its own certificate
	last int64
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.key = a.newKey()
	template := a.template("authority")
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	require.NoError(t, err)
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	a.file = a.write("authority.pem", "CERTIFICATE", der)
	return a
}

func (a *authority) newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	return key
}

func (a *authority) template(name string) *x509.Certificate {
	a.last++
	return &x509.Certificate{
		SerialNumber: big.NewInt(a.last), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
}

func (a *authority) write(name, kind string, der []byte) string {
	file := filepath.Join(a.dir, name)
	require.NoError(a.t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return file
}

// issue writes a certificate for names, and its key.
func (a *authority) issue(name string, names ...string) Certificate {
	key := a.newKey()
	template := a.template(name)
	template.DNSNames, template.IPAddresses = names, []net.IP{net.IPv4(127, 0, 0, 1)}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	require.NoError(a.t, err)
	text, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(a.t, err)
	return Certificate{a.write(name+".pem", "CERTIFICATE", der), a.write(name+".key", "PRIVATE KEY", text)}
}

// trusting returns what a client needs.
func (a *authority) trusting() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}
}

// as returns what a client needs that shows a certificate.
func (a *authority) as(c Certificate) *tls.Config {
	config := a.trusting()
	pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	require.NoError(a.t, err)
	config.Certificates = []tls.Certificate{pair}
	return config
}

// secured returns cfg with a certificate, and who has signed it.
func secured(t testing.TB, cfg Config) (Config, *authority) {
	t.Helper()
	a := newAuthority(t)
	cfg.TLS = &TLS{Certificates: []Certificate{a.issue("front", "front.example")}}
	return cfg, a
}

// secureClient is a client's connection under TLS.
type secureClient struct {
	*tls.Conn
	tcp *net.TCPConn
	t   testing.TB
	br  *bufio.Reader
}

// dialTLS connects, and does the handshake if config is not nil.
func (r *rig) dialTLS(config *tls.Config) *secureClient {
	r.t.Helper()
	c := r.dial()
	s := &secureClient{tls.Client(c.TCPConn, config), c.TCPConn, r.t, nil}
	s.br = bufio.NewReader(s.Conn)
	return s
}

func (c *secureClient) send(text string) {
	c.t.Helper()
	_, err := io.WriteString(c.Conn, text)
	require.NoError(c.t, err)
}

func (c *secureClient) read(method string) reply {
	c.t.Helper()
	resp, err := http.ReadResponse(c.br, &http.Request{Method: method})
	require.NoError(c.t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	return reply{resp, string(body)}
}

// ended checks that the front ends the connection and says so.
func (c *secureClient) ended() {
	c.t.Helper()
	rest, err := io.ReadAll(c.br)
	require.NoError(c.t, err)
	require.Empty(c.t, string(rest))
}

// logged is a log to look at.
type logged struct{ bytes.Buffer }

func (l *logged) count(text string) int { return bytes.Count(l.Bytes(), []byte(text)) }
