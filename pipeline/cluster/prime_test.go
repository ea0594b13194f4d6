package cluster

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/butterfly-zmq/butterfly/proxy"
)

func TestRequestsForPrimeServersWorkers(t *testing.T) {
	for text, want := range map[string]string{
		"GET / HTTP/1.1\r\nA: b\r\n\r\n":                                   "GET / HTTP/1.1\r\nA: b\r\n\r\n",
		"GET / HTTP/1.1\r\nA: b\r\nEmpty:\r\n\r\n":                         "GET / HTTP/1.1\r\nA: b\r\n\r\n",
		"POST /x?y=%26 HTTP/1.0\r\nEmpty: \r\nContent-Length: 2\r\n\r\nhi": "POST /x?y=%26 HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi",
		"GET %2Ffoo%3F%2Ffoo%3D HTTP/1.1\r\n\r\n":                          "GET %2Ffoo%3F%2Ffoo%3D HTTP/1.1\r\n\r\n",
		"no request": "no request",
		"":           "",
	} {
		got, err := forPrime([]byte(text))
		assert.NoError(t, err)
		assert.Equal(t, want, string(got))
	}
	_, err := forPrime([]byte("PATCH / HTTP/1.1\r\n\r\n"))
	assert.ErrorIs(t, err, proxy.ErrUnfit)
}
