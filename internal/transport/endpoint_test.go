package transport

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseEndpoint(t *testing.T) {
	for _, s := range []string{
		"tcp://127.0.0.1:80", "tcp://*:0", "tcp://*:*", "tcp://[::1]:5555", "tcp://host.example:1", "tcp://:80", "tls+tcp://h:1", "tls+tcp://*:0",
		"ipc:///run/x", "ipc://x/y", "ipc://@abstract", "inproc://a b",
	} {
		e, err := ParseEndpoint(s)
		require.NoError(t, err, s)
		assert.Equal(t, s, e.String())
	}
	for s, problem := range map[string]string{
		"":                                   "no transport",
		"127.0.0.1:80":                       "no transport",
		"udp://x":                            `unknown transport "udp"`,
		"tcp://":                             "no address",
		"inproc://":                          "no address",
		"tcp://host":                         "not host:port",
		"tcp://::1:80":                       "not host:port",
		"tls+tcp://host":                     "not host:port",
		"tls://host:1":                       `unknown transport "tls"`,
		"tcp://x:http":                       `port "http"`,
		"tcp://x:65536":                      `port "65536"`,
		"tcp://x:-1":                         `port "-1"`,
		"ipc://*":                            "wildcard",
		"ipc://@":                            "no name",
		"ipc://a\x00b":                       "NUL",
		"ipc:///" + strings.Repeat("x", 200): "the path has 201 bytes",
	} {
		e, err := ParseEndpoint(s)
		var bad *EndpointError
		require.ErrorAs(t, err, &bad, s)
		assert.Contains(t, bad.Problem, problem)
		assert.Equal(t, s, bad.Endpoint)
		assert.NotEmpty(t, bad.Advice)
		assert.Zero(t, e)
	}
}

func TestDialersRefuseWhatOnlyListenersMayName(t *testing.T) {
	for _, s := range []string{"tcp://*:80", "tcp://localhost:0", "tcp://localhost:*", "tls+tcp://*:1", "tls+tcp://:0", "nonsense"} {
		_, err := NewDialer(s, Options{Socket: Dealer}, nil)
		require.ErrorAs(t, err, new(*EndpointError), s)
	}
	_, err := NewDialer("tcp://localhost:80", Options{Socket: Pub}, nil)
	require.ErrorAs(t, err, new(*OptionError))
	_, err = NewDialer("tcp://localhost:80", Options{}, nil)
	require.ErrorAs(t, err, new(*OptionError))
	_, err = NewDialer("inproc://x", Options{Socket: Dealer}, nil)
	require.ErrorAs(t, err, new(*OptionError))
	_, err = Listen("inproc://x", Options{Socket: Dealer}, nil)
	require.ErrorIs(t, err, errNoInproc)
	_, err = Listen("x", Options{Socket: Dealer}, nil)
	require.ErrorAs(t, err, new(*EndpointError))
	_, err = Listen("inproc://x", Options{}, nil)
	require.ErrorAs(t, err, new(*OptionError))
}

func TestValidateNamesEveryProblem(t *testing.T) {
	for _, s := range []SocketType{Dealer, Router, Push, Pull, Pub} {
		require.NoError(t, Options{Socket: s}.Validate())
	}
	require.NoError(t, Options{Socket: Sub, Subscribe: [][]byte{nil}}.Validate())
	require.NoError(t, Options{Socket: Dealer, Heartbeat: -1}.Validate())
	o := Options{
		Socket: "PAIR", Limits: Limits{MaxFrame: 10, MaxMessage: 9, MaxFrames: -1}, Queue: QueueLimits{-1, -1},
		Heartbeat: 2, PeerTimeout: 1, WriteTimeout: -1, HandshakeTimeout: -1, MaxHandshakes: -1, MaxPeers: -1, MaxUnended: -1,
		Backoff: Backoff{Min: -1, Max: -2}, Subscribe: [][]byte{make([]byte, maxPrefix+1)},
	}
	assert.Equal(t, []string{
		"Socket", "Limits.MaxMessage", "Limits.MaxFrames", "Queue.Count", "Queue.Bytes", "PeerTimeout", "WriteTimeout",
		"HandshakeTimeout", "MaxHandshakes", "MaxPeers", "MaxUnended", "Backoff.Min", "Backoff.Max", "Subscribe", "Subscribe",
	}, fields(o.Validate()))
	assert.Equal(t, []string{"Subscribe"}, fields(Options{Socket: Sub}.Validate()))
	assert.Equal(t, []string{"Limits.MaxFrame"}, fields(Options{Socket: Dealer, Limits: Limits{MaxFrame: -1}}.Validate()))
}

// fields lists the Field of each *OptionError in err.
func fields(err error) []string {
	var names []string
	joined, _ := err.(interface{ Unwrap() []error })
	for _, e := range joined.Unwrap() {
		if bad, ok := errors.AsType[*OptionError](e); ok {
			names = append(names, bad.Field)
		}
	}
	return names
}
