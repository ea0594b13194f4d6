// Package mtlstest makes certificates for tests.
package mtlstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/mtls"
)

// Authority is a certification authority whose files are in a directory.
type Authority struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	File string // its certificate
}

// NewAuthority makes an authority in a directory of the test.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t, dir: t.TempDir()}
	a.key = a.newKey()
	template := &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	require.NoError(t, err)
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	a.File = filepath.Join(a.dir, "ca.pem")
	a.write(a.File, "CERTIFICATE", der)
	return a
}

// Change changes a certificate before it is signed.
type Change func(*x509.Certificate)

// Expired makes a certificate that is good no more.
func Expired(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }

// For restricts what a certificate may be used for.
func For(usage ...x509.ExtKeyUsage) Change {
	return func(c *x509.Certificate) { c.ExtKeyUsage = usage }
}

// Issue writes a certificate for names, DNS names and URIs, and its key, to files
// NAME.pem and NAME.key of the authority's directory, and returns a Config with
// them and without Peers. It may be called again for the same name of files.
func (a *Authority) Issue(file string, names []string, changes ...Change) mtls.Config {
	a.t.Helper()
	c := &x509.Certificate{
		SerialNumber: serial(a.t), Subject: pkix.Name{CommonName: "the common name counts for nothing"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, name := range names {
		if strings.Contains(name, "://") {
			u, err := url.Parse(name)
			require.NoError(a.t, err)
			c.URIs = append(c.URIs, u)
		} else {
			c.DNSNames = append(c.DNSNames, name)
		}
	}
	for _, change := range changes {
		change(c)
	}
	key := a.newKey()
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	require.NoError(a.t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(a.t, err)
	files := mtls.Config{CA: []string{a.File}, Cert: filepath.Join(a.dir, file+".pem"), Key: filepath.Join(a.dir, file+".key")}
	a.write(files.Cert, "CERTIFICATE", der)
	a.write(files.Key, "PRIVATE KEY", pkcs8)
	return files
}

func (a *Authority) newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	return key
}

// write replaces a file at once, as who renews certificates should.
func (a *Authority) write(name, kind string, der []byte) {
	half := name + ".new"
	require.NoError(a.t, os.WriteFile(half, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	require.NoError(a.t, os.Rename(half, name))
}

func serial(t testing.TB) *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	require.NoError(t, err)
	return n
}
