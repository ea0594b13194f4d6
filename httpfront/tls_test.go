package httpfront

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGoClientOverTLS(t *testing.T) {
	cfg, a := secured(t, Config{})
	r := start(t, cfg, echo)
	transport := &http.Transport{TLSClientConfig: a.trusting(), ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	for _, body := range []string{"", "short", strings.Repeat("x", 100_000)} {
		resp, err := (&http.Client{Transport: transport}).Post("https://"+r.Addr().String()+"/a", "text/plain", strings.NewReader(body))
		require.NoError(t, err)
		got, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, "POST /a "+body, string(got))
		require.Equal(t, "http/1.1", resp.TLS.NegotiatedProtocol)
		require.Equal(t, uint16(tls.VersionTLS13), resp.TLS.Version)
	}
}

// peer runs a program of others, or skips the test where there is none.
func peer(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("BUTTERFLY_REQUIRE_PEERS") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	t.Logf("%s %v: %v", name, args, err)
	return string(out)
}

func TestCurlOverTLS(t *testing.T) {
	cfg, a := secured(t, Config{})
	r := start(t, cfg, echo)
	at := "https://" + r.Addr().String()
	require.Equal(t, "GET /a?b=%26 GET /c ", peer(t, "", "curl", "-sS", "--cacert", a.file, at+"/a?b=%26", at+"/c"))
	require.Equal(t, "POST /d "+strings.Repeat("e", 5000),
		peer(t, strings.Repeat("e", 5000), "curl", "-sS", "--tls-max", "1.2", "--cacert", a.file, "--data-binary", "@-", at+"/d"))
	require.Contains(t, peer(t, "", "curl", "-sS", "--cacert", a.file, "https://localhost:"+strings.Split(at, ":")[2]), "alternative certificate subject name")
}

func TestOpensslOverTLS(t *testing.T) {
	cfg, a := secured(t, Config{HalfCloseGrace: -1})
	r := start(t, cfg, echo)
	ask := func(args ...string) string {
		args = append([]string{"s_client", "-quiet", "-verify_return_error", "-CAfile", a.file, "-connect", r.Addr().String()}, args...)
		return peer(t, "GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "openssl", args...)
	}
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		require.Contains(t, ask(version), "\r\n\r\nGET /a ", version)
	}
	require.NotContains(t, ask("-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"), "GET /a")
	require.NotContains(t, ask("-alpn", "h2"), "GET /a")
}

func TestMinVersion(t *testing.T) {
	cfg, a := secured(t, Config{})
	cfg.TLS.MinVersion = tls.VersionTLS13
	r := start(t, cfg, echo)
	old := a.trusting()
	old.MaxVersion = tls.VersionTLS12
	require.Error(t, r.dialTLS(old).Handshake())
	require.NoError(t, r.dialTLS(a.trusting()).Handshake())
}

func TestOnlyHTTP1IsNegotiated(t *testing.T) {
	cfg, a := secured(t, Config{})
	r := start(t, cfg, echo)
	for offer, chosen := range map[string]string{"": "", "http/1.1": "http/1.1", "h2 http/1.1": "http/1.1", "h2": "refused"} {
		config := a.trusting()
		config.NextProtos = strings.Fields(offer)
		c := r.dialTLS(config)
		if chosen == "refused" {
			require.ErrorContains(t, c.Handshake(), "no application protocol")
			continue
		}
		require.NoError(t, c.Handshake())
		require.Equal(t, chosen, c.ConnectionState().NegotiatedProtocol, offer)
	}
}

func TestCertificatesByName(t *testing.T) {
	cfg, a := secured(t, Config{})
	cfg.TLS.Certificates = append(cfg.TLS.Certificates, a.issue("other", "other.example", "*.wild.example"))
	r := start(t, cfg, echo)
	for name, shown := range map[string]string{
		"127.0.0.1": "front", "front.example": "front", "other.example": "other", "a.wild.example": "other",
	} {
		config := a.trusting()
		config.ServerName = name
		c := r.dialTLS(config)
		require.NoError(t, c.Handshake(), name)
		require.Equal(t, shown, c.ConnectionState().PeerCertificates[0].Subject.CommonName, name)
	}
}

func TestClientCertificates(t *testing.T) {
	for _, optional := range []bool{false, true} {
		cfg, a := secured(t, Config{})
		cfg.TLS.ClientCA, cfg.TLS.ClientOptional = a.file, optional
		r := start(t, cfg, echo)
		try := func(config *tls.Config) error {
			c := r.dialTLS(config)
			if _, err := io.WriteString(c, get("/")); err != nil {
				return err
			}
			_, err := http.ReadResponse(c.br, nil) // the refusal comes behind the handshake in TLS 1.3
			return err
		}
		require.NoError(t, try(a.as(a.issue("client"))))
		stranger := newAuthority(t)
		forged := a.trusting()
		forged.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &stranger.as(stranger.issue("client")).Certificates[0], nil
		}
		require.ErrorContains(t, try(forged), "unknown certificate authority")
		if optional {
			require.NoError(t, try(a.trusting()))
		} else {
			require.ErrorContains(t, try(a.trusting()), "certificate required")
		}
	}
}

// A client that speaks plain HTTP to the port is told what is wrong.
func TestPlainHTTPToATLSPort(t *testing.T) {
	cfg, _ := secured(t, Config{})
	r := start(t, cfg, echo)
	c := r.dial()
	c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100_000))
	answer := c.read("POST")
	require.Equal(t, 400, answer.StatusCode)
	require.Contains(t, answer.body, "HTTPS")
	require.NoError(t, c.CloseWrite())
	c.closed()
}

// Garbage costs nobody anything.
func TestGarbageToATLSPort(t *testing.T) {
	cfg, _ := secured(t, Config{})
	r := start(t, cfg, echo)
	for _, text := range []string{"\x00", "\x16\x03\x01\xff\xff" + strings.Repeat("x", 70_000), "\x80\x80\x01", "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"} {
		c := r.dial()
		_, _ = io.WriteString(c, text)
		_ = c.CloseWrite()
		_, _ = io.Copy(io.Discard, c)
	}
	require.NoError(t, r.Shutdown(t.Context()))
	require.Zero(t, r.conns.len())
}

// Clients that do not finish their handshakes hold up nobody, are counted as
// connections, and are gone after HeaderTimeout.
func TestSlowHandshakes(t *testing.T) {
	cfg, a := secured(t, Config{HeaderTimeout: 200 * time.Millisecond, MaxConns: 10, MaxConnsPerClient: 9})
	r := start(t, cfg, echo)
	good := r.dialTLS(a.trusting())
	require.NoError(t, good.Handshake())
	var slow []*client
	for range 8 {
		c := r.dial()
		c.send("\x16\x03\x01\x02\x00\x01")
		slow = append(slow, c)
	}
	require.Eventually(t, func() bool { return r.conns.len() == 9 }, soon, time.Millisecond)
	good.send(get("/"))
	good.read("GET")
	over := r.dial()
	_, err := io.ReadAll(over) // without a word
	require.False(t, errors.Is(err, os.ErrDeadlineExceeded))
	for _, c := range slow {
		_, err := io.ReadAll(c)
		require.False(t, errors.Is(err, os.ErrDeadlineExceeded))
	}
	require.Eventually(t, func() bool { return r.conns.len() <= 1 }, soon, time.Millisecond)
}

func TestDrainEndsHandshakesAndIdleTLSConnections(t *testing.T) {
	cfg, a := secured(t, Config{HeaderTimeout: time.Hour})
	r := start(t, cfg, echo)
	silent := r.dial()
	idle := r.dialTLS(a.trusting())
	idle.send(get("/"))
	idle.read("GET")
	require.Eventually(t, func() bool { return r.conns.len() == 2 }, soon, time.Millisecond)
	require.NoError(t, r.Shutdown(t.Context()))
	idle.ended()
	silent.closed()
}

func TestTLSClientLeaves(t *testing.T) {
	for name, leave := range map[string]func(*secureClient){
		"FIN":                     func(c *secureClient) { require.NoError(c.t, c.tcp.CloseWrite()) },
		"close_notify":            func(c *secureClient) { require.NoError(c.t, c.CloseWrite()) },
		"close_notify and FIN":    func(c *secureClient) { require.NoError(c.t, c.Conn.Close()) },
		"bytes, and close_notify": func(c *secureClient) { c.send(get("/2")); require.NoError(c.t, c.CloseWrite()) },
		"RST": func(c *secureClient) {
			require.NoError(c.t, c.tcp.SetLinger(0))
			require.NoError(c.t, c.tcp.Close())
		},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(name+" of "+tls.VersionName(version), func(t *testing.T) {
				jobs := make(chan *loopback.Job, 2)
				cfg, a := secured(t, Config{HalfCloseGrace: time.Millisecond})
				r := start(t, cfg, hold(jobs))
				config := a.trusting()
				config.MaxVersion = version
				c := r.dialTLS(config)
				c.send(get("/1"))
				j := wait(t, jobs)
				began := time.Now()
				leave(c)
				require.Equal(t, j.Info.Key(), wait(t, r.interrupted))
				t.Log("noticed after", time.Since(began))
			})
		}
	}
}

func TestHalfClosedTLSClientGetsItsAnswer(t *testing.T) {
	for name, grace := range map[string]time.Duration{"within the grace": time.Hour, "never gone": -1} {
		t.Run(name, func(t *testing.T) {
			jobs := make(chan *loopback.Job, 1)
			cfg, a := secured(t, Config{HalfCloseGrace: grace})
			r := start(t, cfg, hold(jobs))
			c := r.dialTLS(a.trusting())
			c.send(get("/1") + get("/2"))
			require.NoError(t, c.CloseWrite())
			for range 2 {
				j := wait(t, jobs)
				require.Eventually(t, func() bool {
					conn := r.any()
					conn.mu.Lock()
					defer conn.mu.Unlock()
					return conn.left == halfClosed
				}, soon, time.Millisecond)
				r.reply(j, httptext.NewText(200, "here"))
				require.Equal(t, "here", c.read("GET").body)
			}
			c.ended()
			require.Empty(t, r.interrupted)
		})
	}
}

// What is read while a request waits is the next requests', however much it is.
func TestNothingReadAheadIsLost(t *testing.T) {
	jobs := make(chan *loopback.Job, 1)
	cfg, a := secured(t, Config{})
	r := start(t, cfg, hold(jobs))
	c := r.dialTLS(a.trusting())
	answer := func(want string) {
		t.Helper()
		j := wait(t, jobs)
		req := j.Payload.(*httptext.Request)
		require.Equal(t, want, req.Method+" "+req.Target+" "+string(req.Body))
		r.reply(j, httptext.NewText(200, want))
	}
	large := strings.Repeat("x", 50_000)
	c.send(get("/0"))
	for range 3 {
		j := wait(t, jobs)
		c.send("GET /a HTTP/1.1\r\nHo")
		require.Eventually(t, func() bool { // it has been read ahead
			conn := r.any()
			conn.mu.Lock()
			defer conn.mu.Unlock()
			return conn.ahead.reading != nil
		}, soon, time.Millisecond)
		r.reply(j, httptext.NewText(200, "0"))
		require.Equal(t, "0", c.read("GET").body)
		c.send("st: h\r\n\r\nPOST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 50000\r\n\r\n" + large + get("/c") + get("/0"))
		answer("GET /a ")
		c.read("GET")
		answer("POST /b " + large)
		c.read("POST")
		answer("GET /c ")
		c.read("GET")
	}
}

// any returns an open connection.
func (f *Front) any() *conn {
	f.conns.mu.Lock()
	defer f.conns.mu.Unlock()
	for _, c := range f.conns.open {
		return c
	}
	return nil
}

// A client that does not read is cut off, and its closing waits for nobody.
func TestSlowReaderOverTLS(t *testing.T) {
	cfg, a := secured(t, Config{WriteTimeout: 100 * time.Millisecond})
	r := start(t, cfg, func(r *rig, j *loopback.Job) error {
		r.reply(j, &httptext.Response{Body: make([]byte, 20_000_000)})
		return nil
	})
	c := r.dialTLS(a.trusting())
	c.send(get("/"))
	require.Eventually(t, func() bool { return r.conns.len() == 1 }, soon, time.Millisecond)
	began := time.Now()
	require.Eventually(t, func() bool { return r.conns.len() == 0 }, soon, time.Millisecond)
	require.Less(t, time.Since(began), 4*time.Second) // crypto/tls would wait for 5 s to say that it closes
	// It is short of what was announced; crypto/tls alone does not mind an end between two records.
	resp, err := http.ReadResponse(c.br, nil)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
	}
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

// An answer whose end is that of the connection is not said to be whole if it
// is not.
func TestCutStreamOverTLSIsNoEnd(t *testing.T) {
	cfg, a := secured(t, Config{StreamIdle: 50 * time.Millisecond})
	r := start(t, cfg, func(r *rig, j *loopback.Job) error {
		r.part(j, 0, wire.Stream, &httptext.Opening{Response: httptext.NewText(200, "begun")})
		return nil
	})
	c := r.dialTLS(a.trusting())
	c.send("GET / HTTP/1.0\r\n\r\n")
	text, err := io.ReadAll(c)
	require.Error(t, err)
	require.Contains(t, string(text), "begun")
}

func TestCertificatesAreReloaded(t *testing.T) {
	a := newAuthority(t)
	files := TLS{Certificates: []Certificate{a.issue("front")}, ClientCA: a.file}
	var out logged
	c, err := loadCertificates(files, slog.New(slog.NewTextHandler(&out, nil)))
	require.NoError(t, err)
	now := time.Now()
	c.clock = func() time.Time { return now }
	shown := func() int64 {
		now = now.Add(lookEvery)
		config, err := c.forClient(nil)
		require.NoError(t, err)
		return config.Certificates[0].Leaf.SerialNumber.Int64()
	}
	first := shown()
	require.Equal(t, first, shown())
	require.Empty(t, out.String())

	key, err := os.ReadFile(files.Certificates[0].Key)
	require.NoError(t, err)
	a.issue("front") // in the same files
	renewed, err := os.ReadFile(files.Certificates[0].Key)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(files.Certificates[0].Key, key, 0o600))
	for range 3 { // the key is still the old one
		require.Equal(t, first, shown())
	}
	require.Equal(t, 1, out.count("certificates not reloaded"))
	require.NoError(t, os.WriteFile(files.Certificates[0].Key, renewed[:40], 0o600))
	require.Equal(t, first, shown())
	require.NoError(t, os.Remove(files.Certificates[0].Key))
	require.Equal(t, first, shown())
	require.Equal(t, 3, out.count("certificates not reloaded"))

	require.NoError(t, os.WriteFile(files.Certificates[0].Key, renewed, 0o600))
	require.Equal(t, first+1, shown())
	require.Equal(t, 1, out.count("certificates reloaded"))

	require.NoError(t, os.WriteFile(a.file, []byte("nothing"), 0o600))
	require.Equal(t, first+1, shown())
	require.Equal(t, 4, out.count("certificates not reloaded"))
}

func TestCertificatesAreLookedAtOnceInAWhile(t *testing.T) {
	a := newAuthority(t)
	files := TLS{Certificates: []Certificate{a.issue("front")}}
	c, err := loadCertificates(files, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	now := time.Now()
	c.clock = func() time.Time { return now }
	c.looked = now
	before := c.current.Load()
	a.issue("front")
	now = now.Add(lookEvery - 1)
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() { _, _ = c.forClient(nil) })
	}
	all.Wait()
	require.Same(t, before, c.current.Load())
	now = now.Add(1)
	_, _ = c.forClient(nil)
	require.NotSame(t, before, c.current.Load())
}

// New clients get a new certificate of a front that serves, and connections
// that are open go on.
func TestReloadWhileServing(t *testing.T) {
	cfg, a := secured(t, Config{})
	r := start(t, cfg, echo)
	old := r.dialTLS(a.trusting())
	old.send(get("/"))
	old.read("GET")
	serial := old.ConnectionState().PeerCertificates[0].SerialNumber
	a.issue("front")
	r.certs.mu.Lock()
	r.certs.looked = time.Time{}
	r.certs.mu.Unlock()
	c := r.dialTLS(a.trusting())
	require.NoError(t, c.Handshake())
	require.NotEqual(t, serial, c.ConnectionState().PeerCertificates[0].SerialNumber)
	old.send(get("/"))
	old.read("GET")
}

func TestExpiredCertificateIsSaid(t *testing.T) {
	a := newAuthority(t)
	files := TLS{Certificates: []Certificate{a.issue("front", "front.example")}}
	var out logged
	c, err := loadCertificates(files, slog.New(slog.NewTextHandler(&out, nil)))
	require.NoError(t, err)
	c.clock = func() time.Time { return time.Now().Add(24 * time.Hour) }
	a.issue("front", "front.example")
	_, _ = c.forClient(nil)
	assert.Contains(t, out.String(), "certificate has expired")
	assert.Contains(t, out.String(), "subject=front.example")
}

func TestBadTLSIsRefused(t *testing.T) {
	a := newAuthority(t)
	good := a.issue("front")
	table, err := loopback.NewTable(loopback.TableConfig{})
	require.NoError(t, err)
	front := func(files TLS) (*Front, error) {
		return New(Config{Listen: "127.0.0.1:0", Table: table, Stage: stage(nil), TLS: &files})
	}
	for reason, files := range map[string]TLS{
		"there is no certificate":  {},
		"no file":                  {Certificates: []Certificate{{Cert: good.Cert}}},
		"nothing without ClientCA": {Certificates: []Certificate{good}, ClientOptional: true},
		"neither TLS 1.2 nor 1.3":  {Certificates: []Certificate{good}, MinVersion: tls.VersionTLS11},
	} {
		_, err := front(files)
		require.ErrorContains(t, err, reason)
	}
	other := a.issue("other")
	for reason, files := range map[string]TLS{
		"no such file":         {Certificates: []Certificate{{"/nowhere.pem", good.Key}}},
		"private key":          {Certificates: []Certificate{{good.Cert, other.Key}}},
		"is no certificate in": {Certificates: []Certificate{good}, ClientCA: good.Key},
		"authorities":          {Certificates: []Certificate{good}, ClientCA: "/nowhere.pem"},
	} {
		f, err := front(files)
		require.NoError(t, err)
		require.ErrorContains(t, f.Run(t.Context()), reason)
	}
}
