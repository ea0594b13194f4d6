package freeport

import (
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPortsAreGivenOnce(t *testing.T) {
	var here, there Ports
	seen := make(map[int]bool)
	for range 50 {
		for _, ports := range []*Ports{&here, &there} {
			port, err := ports.Row(3)
			require.NoError(t, err)
			for i := range 3 {
				assert.False(t, seen[port+i])
				seen[port+i] = true
			}
		}
	}
	require.NoError(t, here.Close())
	require.NoError(t, there.Close())
}

func TestAGivenPortIsFreeAndNobodyElseGetsIt(t *testing.T) {
	var ports Ports
	address, err := ports.Address()
	require.NoError(t, err)
	addr, err := net.ResolveTCPAddr("tcp", address)
	require.NoError(t, err)
	claims, err := claim(addr.Port, 1)
	require.Error(t, err)
	assert.Empty(t, claims)
	for range 2 { // and again
		l, err := net.Listen("tcp", address)
		require.NoError(t, err)
		require.NoError(t, l.Close())
	}
	require.NoError(t, ports.Close())
	claims, err = claim(addr.Port, 1)
	require.NoError(t, err)
	require.NoError(t, closeAll(claims))
}

func TestAPortInUseIsNotGiven(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	claims, err := claim(l.Addr().(*net.TCPAddr).Port, 1)
	require.Error(t, err)
	require.NoError(t, closeAll(claims))
	_, err = net.Listen("tcp", fmt.Sprint("127.0.0.2:", l.Addr().(*net.TCPAddr).Port))
	assert.NoError(t, err, "the claim is gone")
}
