//go:build linux

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// served waits for a role to serve HTTP and returns host:port.
func served(p *process) string {
	p.t.Helper()
	return strings.TrimPrefix(p.field("msg=serving", "url"), "http://")
}

// One process holds the whole pipeline, in our form and in prime_server's.
func TestOneProcess(t *testing.T) {
	t.Run("ours", func(t *testing.T) {
		t.Parallel()
		p := newRig(t, "ipc").run("whole", "--listen", "127.0.0.1:0", "--workers", "2")
		addr := served(p)
		answersPrimes(t, addr)
		wants(t, addr, "GET /livez HTTP/1.1\nHost: x\n\n", 200, "ok\n")
		wants(t, addr, "GET /readyz HTTP/1.1\nHost: x\n\n", 200, "ok\n")
		p.terminate(drainLimit)
	})
	t.Run("prime_server's", func(t *testing.T) {
		t.Parallel()
		p := newRig(t, "ipc").run("whole", fmt.Sprintf("tcp://127.0.0.1:%d", freePort(t)), "2", "3,1", "/health")
		addr := served(p)
		answersPrimes(t, addr)
		wants(t, addr, "GET /health HTTP/1.1\nHost: x\n\n", 200, "ok\n")
		wants(t, addr, "GET /livez HTTP/1.1\nHost: x\n\n", 400, "GET requests should look like: 'is_prime?possible_prime=SOME_NUMBER'")
		p.terminate(drainLimit)
	})
}

// prime_httpd's and prime_proxyd's arguments start our front and proxy.
func TestPositionalForms(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, scheme)
			r.run("proxy", "proxy", r.up(echo), r.down(echo), "2")
			r.worker(ours, echo, 1)
			p := r.run("front", "front", fmt.Sprintf("tcp://127.0.0.1:%d", freePort(t)),
				r.up(echo), r.loopback(""), r.interrupt(""), "false", "1000", "20", "2,1", "/health")
			addr := served(p)
			wants(t, addr, post("hi"), 200, "hi")
			serves(t, addr, "GET /health HTTP/1.1\nHost: x\n\n", "ok\n")
			a, err := once(addr, post(strings.Repeat("x", 1001)))
			if err != nil || a.status != 413 {
				t.Errorf("more than MAX_BYTES: %v, %v", a, err)
			}
			p.terminate(drainLimit)
		})
	}
}
