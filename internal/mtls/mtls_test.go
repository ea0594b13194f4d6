package mtls_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/mtls"
	"github.com/butterfly-zmq/butterfly/internal/mtls/mtlstest"
)

const at = "tls+tcp://somewhere:1"

// side makes an identity that wants peers of these names.
func side(t *testing.T, c mtls.Config, log *slog.Logger, peers ...string) *mtls.Identity {
	t.Helper()
	c.Peers = map[string][]string{at: peers}
	i, err := mtls.New(c, log)
	require.NoError(t, err)
	return i
}

// pipe returns both ends of a TCP connection.
func pipe(t *testing.T) (dialed, accepted net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	dialed, err = net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	accepted, err = l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = dialed.Close()
		_ = accepted.Close()
	})
	return dialed, accepted
}

// meet does a handshake and lets the server say a word. It returns what became
// of it on either side.
func meet(t *testing.T, server, client *mtls.Identity) (serverErr, clientErr error) {
	t.Helper()
	dialed, accepted := pipe(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var done sync.WaitGroup
	done.Go(func() {
		var c *mtls.Conn
		if c, serverErr = server.Server(ctx, accepted, at); serverErr != nil {
			return
		}
		_, serverErr = c.Write([]byte("hi"))
		_ = c.Close()
	})
	c, clientErr := client.Client(ctx, dialed, at, "somewhere")
	if clientErr == nil {
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		var said []byte
		if said, clientErr = io.ReadAll(c); clientErr == nil {
			assert.Equal(t, "hi", string(said))
		}
		_ = c.Close()
	}
	done.Wait()
	return serverErr, clientErr
}

func TestPeersOfOneAuthorityMeetByTheirNames(t *testing.T) {
	ca := mtlstest.NewAuthority(t)
	front := side(t, ca.Issue("front", []string{"front.example"}), nil, "spiffe://example/workers/*")
	worker := side(t, ca.Issue("worker", []string{"spiffe://example/workers/seven"}), nil, "front.example")
	serverErr, clientErr := meet(t, front, worker)
	require.NoError(t, serverErr)
	require.NoError(t, clientErr)
}

func TestWhoDoesNotBelongIsRefusedAndBothSidesSayWhy(t *testing.T) {
	ca, foreign := mtlstest.NewAuthority(t), mtlstest.NewAuthority(t)
	good := ca.Issue("good", []string{"good"})
	mixed := foreign.Issue("mixed", []string{"good"})
	mixed.CA = []string{ca.File} // it trusts us, we do not trust it
	cases := map[string]struct {
		server, client         mtls.Config
		wants                  string // what the server wants of its clients
		serverSays, clientSays string
		serverIs, clientIs     any
	}{
		"another authority's client": {good, mixed, "good", "signed by unknown authority", "refuses us", new(x509.UnknownAuthorityError), new(*mtls.RefusedError)},
		"another authority's server": {mixed, good, "good", "refuses us", "signed by unknown authority", new(*mtls.RefusedError), new(x509.UnknownAuthorityError)},
		"an expired client":          {good, ca.Issue("old", []string{"good"}, mtlstest.Expired), "good", "expired", "refuses us", new(x509.CertificateInvalidError), new(*mtls.RefusedError)},
		"an expired server":          {ca.Issue("old", []string{"good"}, mtlstest.Expired), good, "good", "refuses us", "expired", new(*mtls.RefusedError), new(x509.CertificateInvalidError)},
		"a client of another name":   {good, good, "other", `is for good, want other`, "refuses us", new(*mtls.NameError), new(*mtls.RefusedError)},
		"a server of another name":   {ca.Issue("bad", []string{"bad"}), good, "good", "refuses us", `is for bad, want good`, new(*mtls.RefusedError), new(*mtls.NameError)},
		"a client without names":     {good, ca.Issue("none", nil), "good", "no DNS and no URI name", "refuses us", new(*mtls.NameError), new(*mtls.RefusedError)},
		"a server for clients only":  {ca.Issue("conly", []string{"good"}, mtlstest.For(x509.ExtKeyUsageClientAuth)), good, "good", "refuses us", "incompatible key usage", new(*mtls.RefusedError), new(x509.CertificateInvalidError)},
		"a client for servers only":  {good, ca.Issue("sonly", []string{"good"}, mtlstest.For(x509.ExtKeyUsageServerAuth)), "good", "incompatible key usage", "refuses us", new(x509.CertificateInvalidError), new(*mtls.RefusedError)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			serverErr, clientErr := meet(t, side(t, c.server, nil, c.wants), side(t, c.client, nil, "good"))
			require.ErrorAs(t, serverErr, c.serverIs)
			require.ErrorAs(t, clientErr, c.clientIs)
			require.ErrorContains(t, serverErr, c.serverSays)
			require.ErrorContains(t, clientErr, c.clientSays)
		})
	}
}

// handshake lets a plain TLS client meet a server of ours, and returns what
// became of it there.
func handshake(t *testing.T, server *mtls.Identity, client *tls.Config) error {
	t.Helper()
	dialed, accepted := pipe(t)
	failed := make(chan error, 1)
	go func() {
		c, err := server.Server(t.Context(), accepted, at)
		if err == nil {
			_ = c.Close()
		}
		failed <- err
	}()
	c := tls.Client(dialed, client)
	if c.Handshake() == nil {
		_, _ = io.Copy(io.Discard, c)
	}
	_ = c.Close()
	return <-failed
}

func TestClientsWithoutCertificateAndOldVersionsAreRefused(t *testing.T) {
	ca := mtlstest.NewAuthority(t)
	files := ca.Issue("good", []string{"good"})
	server := side(t, files, nil, "good")
	require.ErrorContains(t, handshake(t, server, &tls.Config{InsecureSkipVerify: true}), "didn't provide a certificate")
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	require.NoError(t, err)
	own := []tls.Certificate{pair}
	require.ErrorContains(t, handshake(t, server, &tls.Config{InsecureSkipVerify: true, Certificates: own, MaxVersion: tls.VersionTLS12}), "unsupported versions")
	require.NoError(t, handshake(t, server, &tls.Config{InsecureSkipVerify: true, Certificates: own}))
}

func TestAPlainPeerIsToldWhatItMet(t *testing.T) {
	ca := mtlstest.NewAuthority(t)
	server := side(t, ca.Issue("good", []string{"good"}), nil, "good")
	dialed, accepted := pipe(t)
	failed := make(chan error, 1)
	go func() {
		_, err := server.Server(t.Context(), accepted, at)
		failed <- err
	}()
	_, err := dialed.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	require.NoError(t, err)
	require.NoError(t, dialed.(*net.TCPConn).CloseWrite())
	said, err := io.ReadAll(dialed)
	require.NoError(t, err)
	require.ErrorIs(t, <-failed, mtls.ErrPlain)
	assert.EqualValues(t, 21, said[0], "an alert")

	dialed, accepted = pipe(t)
	go func() {
		_, err := server.Server(t.Context(), accepted, at)
		failed <- err
	}()
	require.NoError(t, dialed.Close())
	require.ErrorIs(t, <-failed, mtls.ErrSilent, "who only looks whether the port is open")

	dialed, accepted = pipe(t)
	go func() { _, _ = accepted.Write([]byte("\xff 220 plain")) }()
	_, err = server.Client(t.Context(), dialed, at, "x")
	require.ErrorIs(t, err, mtls.ErrPlain)
}

func TestAHandshakeEndsWithItsContext(t *testing.T) {
	ca := mtlstest.NewAuthority(t)
	server := side(t, ca.Issue("good", []string{"good"}), nil, "good")
	dialed, accepted := pipe(t)
	_, err := dialed.Write([]byte{22, 3, 1, 1}) // a record begins, and goes no further
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = server.Server(ctx, accepted, at)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = accepted.Read(make([]byte, 1))
	require.ErrorIs(t, err, net.ErrClosed)
}

// A peer that reads nothing does not keep us from closing.
func TestCloseDoesNotWaitForAStuckPeer(t *testing.T) {
	ca := mtlstest.NewAuthority(t)
	id := side(t, ca.Issue("good", []string{"good"}), nil, "good")
	for name, writing := range map[string]bool{"a write is under way": true, "none is": false} {
		t.Run(name, func(t *testing.T) {
			dialed, accepted := pipe(t)
			go func() { _, _ = id.Client(t.Context(), dialed, at, "x") }()
			c, err := id.Server(t.Context(), accepted, at)
			require.NoError(t, err)
			require.NoError(t, accepted.SetWriteDeadline(time.Now().Add(50*time.Millisecond)))
			junk := make([]byte, 1<<20)
			for err == nil { // straight into the socket, until it takes no more
				_, err = accepted.Write(junk)
			}
			require.NoError(t, accepted.SetWriteDeadline(time.Time{}))
			ended := make(chan error, 1)
			if writing {
				go func() {
					_, err := c.Write(junk)
					ended <- err
				}()
			}
			start := time.Now()
			_ = c.Close()
			assert.Less(t, time.Since(start), 2*time.Second, "TLS itself would wait for five")
			if writing {
				require.Error(t, <-ended)
			}
		})
	}
}

// lines is a log that may be read while others write.
type lines struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), s)
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func TestNewFilesAreReadAndBadOnesAreNot(t *testing.T) {
	ca := mtlstest.NewAuthority(t)
	client := side(t, ca.Issue("client", []string{"client"}), nil, "one", "two")
	var log lines
	files := ca.Issue("server", []string{"one"})
	server := side(t, files, log.logger(), "client")
	serves := func() string {
		dialed, accepted := pipe(t)
		done := make(chan struct{})
		go func() {
			defer close(done)
			if c, err := server.Server(t.Context(), accepted, at); err == nil {
				_ = c.Close()
			}
		}()
		c, err := client.Client(t.Context(), dialed, at, "x")
		require.NoError(t, err)
		defer func() { _ = c.Close() }()
		<-done
		return c.Names()[0]
	}
	assert.Equal(t, "one", serves())
	assert.Equal(t, 1, log.count("certificate read"))

	good, err := os.ReadFile(files.Key)
	require.NoError(t, err)
	for _, bad := range []string{"no key", string(readFile(t, ca.File))} {
		require.NoError(t, os.WriteFile(files.Key, []byte(bad), 0o600))
		mtls.LookAgain(server)
		before := log.count("cannot be used")
		assert.Equal(t, "one", serves(), "the old pair stays in force")
		mtls.LookAgain(server)
		assert.Equal(t, "one", serves())
		assert.Equal(t, before+1, log.count("cannot be used"), "it is said once")
	}
	require.NoError(t, os.Remove(files.Key))
	mtls.LookAgain(server)
	assert.Equal(t, "one", serves())

	require.NoError(t, os.WriteFile(files.Key, good, 0o600))
	mtls.LookAgain(server)
	assert.Equal(t, "one", serves())
	assert.Equal(t, 2, log.count("certificate read"), "good again")

	ca.Issue("server", []string{"two"})
	mtls.LookAgain(server)
	assert.Equal(t, "two", serves())
	mtls.LookAgain(server)
	assert.Equal(t, "two", serves())
	assert.Equal(t, 3, log.count("certificate read"), "and not again without need")
}

func readFile(t *testing.T, name string) []byte {
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	return b
}

func TestLoadSaysWhatIsWrongWithFiles(t *testing.T) {
	ca := mtlstest.NewAuthority(t)
	other := ca.Issue("other", []string{"x"})
	for name, change := range map[string]func(*mtls.Config){
		"no such file":          func(c *mtls.Config) { c.Cert = "/does/not/exist" },
		"with the key":          func(c *mtls.Config) { c.Key = other.Key },
		"no certificate in PEM": func(c *mtls.Config) { c.CA = []string{c.Key} },
		"is no file of at most": func(c *mtls.Config) { c.CA = []string{t.TempDir()} },
	} {
		c := ca.Issue("good", []string{"x"})
		change(&c)
		require.ErrorContains(t, side(t, c, nil, "x").Load(), name)
	}
	require.NoError(t, side(t, ca.Issue("good", []string{"x"}), nil, "x").Load())
}

func TestConfigsAreChecked(t *testing.T) {
	_, err := mtls.New(mtls.Config{Peers: map[string][]string{at: {"ok", "*"}}}, nil)
	for _, want := range []string{"authority's certificate", "with our certificate", "with the key", `the name "*"`} {
		require.ErrorContains(t, err, want)
	}
	i, err := mtls.New(mtls.Config{CA: []string{"a"}, Cert: "b", Key: "c", Peers: map[string][]string{at: {"x"}}}, nil)
	require.NoError(t, err, "nothing is read")
	require.NoError(t, i.Knows(at))
	require.ErrorContains(t, i.Knows("tls+tcp://elsewhere:1"), "nobody may be at the other end")
	require.ErrorContains(t, (*mtls.Identity)(nil).Knows(at), "none are configured")
	require.True(t, errors.Is(i.Load(), os.ErrNotExist))
}

func TestNames(t *testing.T) {
	for name, good := range map[string]bool{
		"front": true, "front.example": true, "*.example": true, "spiffe://a/b": true, "spiffe://a/*": true, "urn://x": true,
		"": false, "*": false, "*.": false, "a*": false, "a.*": false, "**.a": false, "a b": false, "a,b": false, "http://": false,
		"://a": false, "spiffe://*": false, "spiffe://a/*/b": false, "spiffe://a/b*": false, "a/b": false, "a:1": false, "x@y": false,
	} {
		assert.Equal(t, good, mtls.CheckName(name) == nil, name)
	}
	for _, c := range []struct {
		allowed, name string
		match         bool
	}{
		{"front", "front", true}, {"front", "FRONT", true}, {"front", "front.", true}, {"front", "fronts", false},
		{"*.example", "a.example", true}, {"*.example", "a.b.example", false}, {"*.example", "example", false}, {"*.example", ".example", false},
		{"spiffe://a/b", "spiffe://a/b", true}, {"spiffe://a/b", "spiffe://a/b/c", false}, {"spiffe://a/b", "spiffe://a/B", false},
		{"spiffe://a/b/*", "spiffe://a/b/c", true}, {"spiffe://a/b/*", "spiffe://a/b/c/d", true}, {"spiffe://a/b/*", "spiffe://a/bc", false},
		{"spiffe://a/b/*", "spiffe://a/b/", false}, {"*.example", "*.example", false}, {"spiffe://a/*", "spiffe://a/*", false},
	} {
		assert.Equal(t, c.match, mtls.Match(c.allowed, c.name, strings.Contains(c.name, "://")), "%q %q", c.allowed, c.name)
	}
	assert.False(t, mtls.Match("spiffe://a/b", "spiffe://a/b", false), "a DNS name that looks like a URI is none")
}
