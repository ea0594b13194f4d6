package transport

import (
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/mtls"
	"github.com/butterfly-zmq/butterfly/internal/mtls/mtlstest"
)

// below connects to the rig's endpoint below TLS.
func (r *rig) below() net.Conn {
	r.t.Helper()
	_, address, _ := strings.Cut(r.endpoint, "://")
	conn, err := net.Dial("tcp", address)
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// as returns the rig as somebody with other certificates has it, or who speaks
// another transport.
func (r *rig) as(scheme string, files mtls.Config) *rig {
	other := *r
	_, address, _ := strings.Cut(r.endpoint, "://")
	other.endpoint, other.files, other.logs = scheme+"://"+address, files, &logBook{}
	if scheme != secure {
		other.ca = nil
	}
	return &other
}

// Whoever may not be there is refused, both sides log why, and those who may go
// on.
func TestStrangersAreRefusedAndLogged(t *testing.T) {
	for name, c := range map[string]struct {
		who              func(r *rig) *rig
		listener, dialer string // what either logs
	}{
		"a name of nobody": {
			func(r *rig) *rig { return r.as(secure, r.ca.Issue("other", []string{"other"})) },
			`is for other, want rig`, "the peer refuses us",
		},
		"another authority": {
			func(r *rig) *rig {
				files := mtlstest.NewAuthority(r.t).Issue("rig", []string{"rig"})
				files.CA = r.files.CA
				return r.as(secure, files)
			},
			"signed by unknown authority", "the peer refuses us",
		},
		"expired": {
			func(r *rig) *rig { return r.as(secure, r.ca.Issue("old", []string{"rig"}, mtlstest.Expired)) },
			"certificate has expired", "the peer refuses us",
		},
		"who trusts another authority": {
			func(r *rig) *rig {
				files := r.files
				files.CA = []string{mtlstest.NewAuthority(r.t).File}
				return r.as(secure, files)
			},
			"the peer refuses us", "signed by unknown authority",
		},
		"who speaks plain ZMTP": {
			func(r *rig) *rig { return r.as("tcp", mtls.Config{}) },
			"does not speak TLS", "the peer speaks TLS",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, secure)
			l := record(t)
			r.listen(Options{Socket: Router}, l)
			good := record(t)
			d, _ := r.dial(Options{Socket: Dealer}, good)
			await(t, l.up)

			stranger := c.who(r)
			stranger.dial(Options{Socket: Dealer}, nil)
			eventually(t, func() bool { return r.logs.has("connection refused", "peer=127.0.0.1", c.listener) }, "the listener says why")
			eventually(t, func() bool { return stranger.logs.has("connection failed", c.dialer) }, "and the dialer")
			require.NoError(t, d.Send(msg("still here"), nil))
			assert.Equal(t, msg("still here"), l.message())
			assert.Empty(t, l.up)
			assert.Empty(t, good.down)
		})
	}
}

func TestATLSDialerAtAPlainListener(t *testing.T) {
	r := newRig(t, "tcp")
	l := record(t)
	r.listen(Options{Socket: Router}, l)
	ca := mtlstest.NewAuthority(t)
	other := r.as(secure, ca.Issue("x", []string{"x"}))
	other.ca = ca
	other.dial(Options{Socket: Dealer}, nil)
	eventually(t, func() bool { return r.logs.has("connection refused", "the peer speaks TLS") }, "the listener says why")
	eventually(t, func() bool { return other.logs.has("connection failed", "does not speak TLS") }, "and the dialer")
	r.dial(Options{Socket: Dealer}, nil)
	await(t, l.up)
}

// Connections go on when certificates are renewed, and new ones use the new.
func TestCertificatesAreRenewedWhileConnectionsGoOn(t *testing.T) {
	r := newRig(t, secure)
	server := r.ca.Issue("server", []string{"old.server"})
	l, h := record(t), record(t)
	r.listen(Options{Socket: Router, TLS: r.identity(server, "rig")}, l)
	dial := func() *Dialer {
		d, _ := r.dial(Options{Socket: Dealer, TLS: r.identity(r.files, "*.server")}, h)
		return d
	}
	old := dial()
	await(t, l.up)
	first := await(t, h.up)
	assert.Equal(t, []string{"old.server"}, first.conn.Conn.(*mtls.Conn).Names())
	r.ca.Issue("server", []string{"new.server"})
	eventually(t, func() bool { // files are looked at once a second
		conn := r.dialer(Options{Socket: Dealer, TLS: r.identity(r.files, "*.server")}, nil)
		c, err := conn.dial(t.Context())
		require.NoError(t, err)
		_ = c.Close()
		return c.(*mtls.Conn).Names()[0] == "new.server"
	}, "new connections use the new certificate")
	require.NoError(t, old.Send(msg("old"), nil))
	assert.Equal(t, msg("old"), l.message())
	fresh := dial()
	await(t, l.up)
	require.NoError(t, fresh.Send(msg("new"), nil))
	assert.Equal(t, msg("new"), l.message())
	assert.Empty(t, h.down)
	assert.True(t, r.logs.has("certificate read", "new.server"))
	assert.True(t, r.logs.has("certificate read", "old.server"))
}

// The log names a peer by its certificate, not by its address alone.
func TestPeersAreCalledByTheirCertificates(t *testing.T) {
	r := newRig(t, secure)
	l := record(t)
	r.listen(Options{Socket: Router}, l)
	r.dial(Options{Socket: Dealer}, nil)
	assert.Regexp(t, `^127\.0\.0\.1:\d+ \(rig\)$`, await(t, l.up).Remote())
}

func TestCertificatesAreNeededWhereTheyAreAskedFor(t *testing.T) {
	r := newRig(t, secure)
	_, err := Listen(r.endpoint, Options{Socket: Router}, nil)
	require.ErrorContains(t, err, "needs certificates")
	_, err = NewDialer("tls+tcp://x:1", Options{Socket: Dealer}, nil)
	require.ErrorContains(t, err, "needs certificates")
	_, err = NewDialer("tls+tcp://x:1", r.options(Options{Socket: Dealer}), nil)
	require.ErrorContains(t, err, "nobody may be at the other end of tls+tcp://x:1")
	require.ErrorAs(t, err, new(*OptionError))

	require.NoError(t, os.Remove(r.files.Key))
	_, err = Listen(r.endpoint, r.options(Options{Socket: Router}), nil)
	require.ErrorAs(t, err, new(*BindError))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// Strangers who hold connections open below TLS make room for one another, and
// who has a certificate gets through.
func TestHandshakeFloodBelowTLS(t *testing.T) {
	const room, flood = 4, 20
	r := newRig(t, secure)
	h := record(t)
	r.listen(Options{Socket: Router, MaxHandshakes: room}, h)
	conns := make([]net.Conn, flood)
	for i := range conns {
		conns[i] = r.below()
		if i%2 == 0 { // some begin
			_, err := conns[i].Write([]byte{22, 3, 1, 2, 0, 1})
			require.NoError(t, err)
		}
		if i >= room {
			closed(t, conns[i-room])
		}
	}
	r.dial(Options{Socket: Dealer}, nil)
	await(t, h.up)
}

func TestHandshakesBelowTLSEndInTime(t *testing.T) {
	r := newRig(t, secure)
	r.listen(Options{Socket: Router, HandshakeTimeout: 50 * time.Millisecond}, nil)
	silent, drip := r.below(), r.below()
	stop := make(chan struct{})
	defer close(stop)
	go func() { // a record's bytes, one at a time, never all of them
		for _, b := range append([]byte{22, 3, 1, 2, 0}, make([]byte, 500)...) {
			if _, err := drip.Write([]byte{b}); err != nil || !sleep(stop, 5*time.Millisecond) {
				return
			}
		}
	}()
	closed(t, silent)
	closed(t, drip)
}

func TestPortChecksBelowTLSAreNotLogged(t *testing.T) {
	r := newRig(t, secure)
	h := record(t)
	r.listen(Options{Socket: Router}, h)
	for range 10 {
		require.NoError(t, r.below().Close())
	}
	conn := r.below()
	_, err := conn.Write([]byte("GET / HTTP/1.0\r\n\r\n"))
	require.NoError(t, err)
	eventually(t, func() bool { return r.logs.has("connection refused", "does not speak TLS", "skipped=0") }, "the first line is about the one that spoke")
	said := make([]byte, 1)
	_, err = io.ReadFull(conn, said)
	require.NoError(t, err)
	r.dial(Options{Socket: Dealer}, nil)
	await(t, h.up)
}

func TestWithoutAHostOnlyThisMachineIsMeant(t *testing.T) {
	for _, scheme := range []string{"tcp", secure} {
		r := newRig(t, scheme)
		r.endpoint = scheme + "://:0"
		got := record(t)
		l, _ := r.listen(Options{Socket: Pull}, got)
		assert.Regexp(t, `://127\.0\.0\.1:\d+$`, l.Endpoint())
		_, port, err := net.SplitHostPort(strings.TrimPrefix(r.endpoint, scheme+"://"))
		require.NoError(t, err)
		r.endpoint = scheme + "://:" + port
		d, _ := r.dial(Options{Socket: Push}, nil)
		require.NoError(t, d.Send(msg("x"), nil))
		assert.Equal(t, msg("x"), got.message())
	}
}

// The addresses that a host name stands for are whom the name is for, and nobody
// else is.
func TestAddressesOfANameAreWhomTheNameIsFor(t *testing.T) {
	const name = "tls+tcp://proxies.example:7201"
	files := mtlstest.NewAuthority(t).Issue("x", []string{"x"})
	files.Peers = map[string][]string{name: {"proxy"}}
	id, err := mtls.New(files, nil)
	require.NoError(t, err)
	book := &phoneBook{answers: map[string][]string{"proxies.example": {"10.0.0.1", "10.0.0.2"}}}
	o := Options{Socket: Dealer, TLS: id, Resolver: book}
	n, err := NewNames([]string{name}, o)
	require.NoError(t, err)
	require.False(t, n.Fixed())
	assert.Equal(t, []string{"tls+tcp://10.0.0.1:7201", "tls+tcp://10.0.0.2:7201"}, n.resolve(t.Context()))
	for endpoint, known := range map[string]bool{
		"tls+tcp://10.0.0.1:7201": true, "tls+tcp://10.0.0.2:7201": true, "tls+tcp://10.0.0.3:7201": false, "tls+tcp://10.0.0.1:7202": false,
	} {
		_, err := NewDialer(endpoint, o, nil)
		assert.Equal(t, known, err == nil, "%s: %v", endpoint, err)
	}
	book.set("proxies.example", "10.0.0.2", "10.0.0.3")
	n.resolve(t.Context())
	_, err = NewDialer("tls+tcp://10.0.0.3:7201", o, nil)
	require.NoError(t, err)
	_, err = NewDialer("tls+tcp://10.0.0.1:7201", o, nil)
	require.Error(t, err)
}
