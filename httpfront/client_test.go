package httpfront

import (
	"net"
	"testing"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/stretchr/testify/require"
)

// clients returns a front that notes by which number clients are told apart, and
// what asks it.
func clients(t *testing.T, header, routed string) (ask func(fields string) uint32) {
	came := make(chan uint32, 1)
	var r *rig
	to := stage(func(j *loopback.Job) error {
		came <- j.Info.Client
		return echo(r, j)
	})
	r = start(t, Config{ClientHeader: header, Route: func(*httptext.Request) (Route, error) {
		return Route{Stage: to, ClientHeader: routed}, nil
	}}, nil)
	return func(fields string) uint32 {
		t.Helper()
		c := r.dial()
		c.send("GET / HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n")
		require.Equal(t, 200, c.read("GET").StatusCode)
		return wait(t, came)
	}
}

func TestClientsAreToldApartByAHeader(t *testing.T) {
	ask := clients(t, "x-api-KEY", "")
	one, two := ask("X-Api-Key: one\r\n"), ask("X-Api-Key: two\r\n")
	require.NotEqual(t, one, two)
	require.Equal(t, one, ask("x-API-key: one\r\nX-Other: two\r\n"))
	address := ask("")
	require.NotZero(t, address)
	require.NotContains(t, []uint32{one, two}, address)
	require.Equal(t, address, ask("X-Api-Key:\r\n"), "an empty one says nothing")
}

func TestARouteMayHaveItsOwnClientHeader(t *testing.T) {
	ask := clients(t, "X-Key", "X-Tenant")
	require.Equal(t, ask("X-Tenant: a\r\nX-Key: 1\r\n"), ask("X-Tenant: a\r\nX-Key: 2\r\n"))
	require.NotEqual(t, ask("X-Tenant: a\r\n"), ask("X-Tenant: b\r\n"))
	require.Equal(t, ask(""), ask("X-Key: 1\r\n"))
	require.Equal(t, clients(t, "", "")("X-Key: 1\r\n"), ask(""), "by address")
}

// A host with many IPv6 addresses is one client, and so is one whose IPv4 address
// comes in either form.
func TestAClientsAddresses(t *testing.T) {
	of := func(address string) uint32 {
		return hashClient(clientOf(peerOf(&net.TCPAddr{IP: net.ParseIP(address)})))
	}
	require.Equal(t, of("2001:db8:1:2:3::4"), of("2001:db8:1:2:ffff::1"))
	require.NotEqual(t, of("2001:db8:1:2:3::4"), of("2001:db8:1:3:3::4"))
	require.NotEqual(t, of("192.0.2.1"), of("192.0.2.2"))
	require.Equal(t, hashClient(clientOf(peerOf(&net.TCPAddr{IP: net.IP{192, 0, 2, 1}}))), of("192.0.2.1"))
	require.Zero(t, hashClient(clientOf(peerOf(&net.UnixAddr{}))))
}
