package graph_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// What the file may say the transport can use.
func TestEndpointsAreTheTransports(t *testing.T) {
	parse := func(value string) error {
		text := "version: 1\nfront: {loopback: " + value + "}\nroutes: [{prefix: /, stage: s}]\nstages: {s: {worker: w}}\n"
		_, err := graph.Parse([]graph.File{{Name: "e.yaml", Data: []byte(text)}}, graph.Options{LookupEnv: noEnv})
		return err
	}
	for endpoint, good := range map[string]bool{
		"tcp://127.0.0.1:7101":   true,
		"tcp://localhost:65535":  true,
		"tcp://a-b.example:1":    true,
		"tcp://[::1]:7101":       true,
		"tcp://[fe80::1%eth0]:7": true,
		"ipc:///run/x":           true,
		"ipc://relative/x":       true,
		"ipc://@name":            true,
		"tcp://::1:7101":         false,
		"tcp://host:65536":       false,
		"tcp://host:http":        false,
		"tcp://host:*":           false,
		"tcp://:7101":            true,
		"tcp://a b:7101":         false,
		"tcp://host/x:7101":      false,
		"tcp://[::]:7101":        false, // nothing to connect to
		"ipc://":                 false,
		"ipc://*":                false,
		"ipc://@":                false,
		"inproc://x":             false,
		"tls+tcp://[::]:7101":    false,
		"tls+ipc:///run/x":       false,
		"7101":                   false,
	} {
		err := parse(strconv.Quote(endpoint))
		assert.Equal(t, good, err == nil, "%s: %v", endpoint, err)
		if good {
			assert.NoError(t, cluster.CheckEndpoint(endpoint))
		}
	}
	assert.NoError(t, parse(`{bind: "tcp://[::]:7101", connect: "tcp://[::1]:7101"}`))
	assert.NoError(t, parse(`{bind: "tcp://*:7101", connect: "tcp://host:7201"}`), "ports may be mapped")
	assert.NoError(t, parse(`{bind: "ipc:///run/a", connect: "ipc:///mnt/a"}`))
	assert.Error(t, parse(`{bind: "tcp://*:7101", connect: "tcp://*:7101"}`))
}
