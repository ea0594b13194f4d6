package cluster

import (
	"fmt"

	"github.com/butterfly-zmq/butterfly/internal/transport"
)

// CheckEndpoint says what is wrong with an endpoint that other processes are to
// reach: tcp://host:port or ipc:///path.
func CheckEndpoint(s string) error {
	e, err := transport.ParseEndpoint(s)
	if err != nil {
		return err
	}
	if e.Scheme == "inproc" {
		return fmt.Errorf("%q is inside one process: want tcp://host:port or ipc:///path", s)
	}
	return nil
}
