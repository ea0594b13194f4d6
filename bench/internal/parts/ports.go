//go:build linux

package parts

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports gives away free ports of the loopback, each once. They are below those
// that systems give to outgoing connections, so that they stay free until a part
// binds them, and every time that it does.
type Ports struct{ given map[int]bool }

// Next returns host:port.
func (p *Ports) Next() (string, error) {
	if p.given == nil {
		p.given = make(map[int]bool)
	}
	for range 1000 {
		port := 12000 + rand.IntN(20000)
		if p.given[port] {
			continue
		}
		address := fmt.Sprintf("127.0.0.1:%d", port)
		if l, err := net.Listen("tcp", address); err == nil {
			p.given[port] = true
			_ = l.Close()
			return address, nil
		}
	}
	return "", errNoPort
}

var errNoPort = errors.New("no free port")
