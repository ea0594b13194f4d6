// Package freeport gives tests and benchmarks ports that stay free for a part
// which is started later, and anew.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// The ports are below those that systems give to outgoing connections.
const first, count = 12000, 20000

// Ports gives away free ports of 127.0.0.1, each once until Close to whoever on
// this machine asks by Ports. The zero value is ready; it is safe for concurrent
// use.
type Ports struct {
	mu     sync.Mutex
	claims []net.Listener
}

var errNoPort = errors.New("freeport: no free port")

// Next returns a port.
func (p *Ports) Next() (int, error) { return p.Row(1) }

// Address returns a port as 127.0.0.1:port.
func (p *Ports) Address() (string, error) {
	port, err := p.Next()
	return fmt.Sprintf("127.0.0.1:%d", port), err
}

// Row returns the first of n ports that follow one another.
func (p *Ports) Row(n int) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range 1000 {
		port := first + rand.IntN(count-n)
		claims, err := claim(port, n)
		if err == nil {
			p.claims = append(p.claims, claims...)
			return port, nil
		}
		_ = closeAll(claims)
	}
	return 0, errNoPort
}

// claim listens at other addresses than the ports are for, which is how others see
// that they are given away, and looks whether they are free.
func claim(port, n int) (claims []net.Listener, err error) {
	for i := range n {
		c, err := net.Listen("tcp", fmt.Sprintf("127.0.0.2:%d", port+i))
		if err != nil {
			return claims, fmt.Errorf("freeport: %w", err)
		}
		claims = append(claims, c)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+i))
		if err != nil {
			return claims, fmt.Errorf("freeport: %w", err)
		}
		_ = l.Close() // nothing was accepted
	}
	return claims, nil
}

// Close lets others have the ports.
func (p *Ports) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	claims := p.claims
	p.claims = nil
	return closeAll(claims)
}

func closeAll(claims []net.Listener) error {
	var errs []error
	for _, c := range claims {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
