//go:build linux

package parts

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports gives away free ports of the loopback, each once until Close, to whoever on
// this machine asks by Ports: parts are started and started anew at will. They are
// below those that systems give to outgoing connections, so that they stay free
// until a part binds them, and every time that it does. The zero value is ready.
type Ports struct{ claims []net.Listener }

// Next returns host:port.
func (p *Ports) Next() (string, error) {
	for range 1000 {
		port := 12000 + rand.IntN(20000)
		claim, err := net.Listen("tcp", fmt.Sprintf("127.0.0.2:%d", port)) // by which others see that it is given away
		if err != nil {
			continue
		}
		address := fmt.Sprintf("127.0.0.1:%d", port)
		if l, err := net.Listen("tcp", address); err == nil {
			p.claims = append(p.claims, claim)
			return address, l.Close()
		}
		_ = claim.Close()
	}
	return "", errNoPort
}

// Close lets others have the ports.
func (p *Ports) Close() error {
	var errs []error
	for _, claim := range p.claims {
		errs = append(errs, claim.Close())
	}
	p.claims = nil
	return errors.Join(errs...)
}

var errNoPort = errors.New("no free port")
