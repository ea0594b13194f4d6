//go:build linux

package e2e

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// soon is how long what is to happen at once may take on a busy machine; it is
// less than the six seconds after which a silent peer is given up.
const soon = 4 * time.Second

// Roles may be started in any order.
func TestAnyStartOrder(t *testing.T) {
	for _, c := range []cast{{ours, ours, ours}, {prime, ours, prime}, {ours, prime, ours}} {
		for _, order := range []string{"fpw", "fwp", "pfw", "pwf", "wfp", "wpf"} {
			t.Run(c.String()+"/"+order, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, "ipc")
				var f *front
				for _, role := range order {
					switch role {
					case 'f':
						f = r.front(c.front, []stage{echo})
					case 'p':
						r.proxy(c.proxy, echo)
					case 'w':
						r.worker(c.worker, echo, 2)
					}
				}
				wants(t, f.addr, post("hi"), 200, "hi")
			})
		}
	}
}

// Each role is killed and started again; the others go on and find it.
func TestEachRoleKilledAndRestarted(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, scheme)
			f := r.front(ours, twoSteps)
			restart := map[string]func() *process{
				"parse proxy":    func() *process { return r.proxy(ours, parse) },
				"compute proxy":  func() *process { return r.proxy(ours, compute) },
				"parse worker":   func() *process { return r.worker(ours, parse, 1) },
				"compute worker": func() *process { return r.worker(ours, compute, 1) },
				"front":          func() *process { f = r.front(ours, twoSteps); return f.process },
			}
			running := map[string]*process{"front": f.process}
			for name, again := range restart {
				if running[name] == nil {
					running[name] = again()
				}
			}
			wants(t, f.addr, isPrime("5"), 200, "5")
			for name, again := range restart {
				running[name].kill()
				running[name] = again()
				serves(t, f.addr, isPrime("7"), "7")
				ready(t, f)
			}
			for name, p := range running {
				t.Log(name)
				p.alive()
			}
		})
	}
}

// So it is with each of prime_server's roles among ours.
func TestPrimeRoleKilledAndRestarted(t *testing.T) {
	for _, scheme := range schemes {
		for _, c := range mixed[1:] {
			t.Run(scheme+"/"+c.String(), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, scheme)
				p := r.proxy(c.proxy, echo)
				w := r.worker(c.worker, echo, 1)
				f := r.front(c.front, []stage{echo})
				wants(t, f.addr, post("before"), 200, "before")
				switch prime {
				case c.proxy:
					p.kill()
					r.proxy(prime, echo)
				case c.worker:
					w.kill()
					r.worker(prime, echo, 1)
				case c.front:
					f.kill()
					f = r.front(prime, []stage{echo})
				}
				serves(t, f.addr, post("after"), "after")
				echoesMany(t, f.addr)
			})
		}
	}
}

// The client of a job whose worker is killed is told at once, unless the job may
// run again: then another worker does it.
func TestBusyWorkerKilled(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			r, f, worker := startPrimes(t, scheme, 1)
			l := connect(t, f.addr)
			kill := func(request string) {
				used := cpuTime(t, worker)
				require.NoError(t, l.send(request))
				eventually(t, "the worker at work", func() bool { return cpuTime(t, worker) > used+50*time.Millisecond })
				worker.kill()
			}
			body := hardPrime
			kill(fmt.Sprintf("POST /is_prime HTTP/1.1\nHost: x\nContent-Length: %d\n\n%s", len(body), body))
			a, err := l.receive("POST", soon)
			require.NoError(t, err)
			assert.Equal(t, 502, a.status)

			worker = r.worker(ours, compute, 1)
			wants(t, f.addr, isPrime("7"), 200, "7")
			kill(isPrime(mediumPrime))
			r.worker(ours, compute, 1)
			a, err = l.receive("GET", answerLimit)
			require.NoError(t, err)
			assert.Equal(t, 200, a.status)
			assert.Equal(t, mediumPrime, a.body)
		})
	}
}

// A job that a worker has survives the death of its proxy: the answer goes
// straight to the front.
func TestProxyKilledWhileWorking(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	r.proxy(ours, parse)
	p := r.proxy(ours, compute)
	r.worker(ours, parse, 1)
	worker := r.worker(ours, compute, 1)
	f := r.front(ours, twoSteps)
	ready(t, f)
	l := connect(t, f.addr)
	used := cpuTime(t, worker)
	require.NoError(t, l.send(isPrime(mediumPrime)))
	eventually(t, "the worker at work", func() bool { return cpuTime(t, worker) > used+50*time.Millisecond })
	p.kill()
	a, err := l.receive("GET", answerLimit)
	require.NoError(t, err)
	assert.Equal(t, mediumPrime, a.body)
	r.proxy(ours, compute)
	serves(t, f.addr, isPrime("7"), "7")
}

// startPrimes starts the pipeline of two stages, all of it ours, and waits for
// it to serve. The worker is that of the second stage.
func startPrimes(t *testing.T, scheme string, slots int) (*rig, *front, *process) {
	t.Helper()
	r := newRig(t, scheme)
	r.proxy(ours, parse)
	r.proxy(ours, compute)
	r.worker(ours, parse, slots)
	worker := r.worker(ours, compute, slots)
	f := r.front(ours, twoSteps)
	ready(t, f)
	wants(t, f.addr, isPrime("5"), 200, "5")
	return r, f, worker
}

// A worker that is stopped while idle costs the one request that it is given;
// all others are served by the second worker without delay.
func TestStoppedWorker(t *testing.T) {
	for _, k := range []kind{ours, prime} {
		t.Run(string(k), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "ipc")
			r.proxy(ours, echo)
			stopped := r.worker(k, echo, 1)
			r.worker(k, echo, 1)
			f := r.front(ours, []stage{echo})
			ready(t, f)
			echoesMany(t, f.addr)
			stopped.pause()
			oneLate(t, f.addr)
			stopped.resume()
			echoesMany(t, f.addr)
			stopped.alive()
		})
	}
}

// oneLate sends a hundred requests, of which one at most may be answered late,
// and with 502.
func oneLate(t *testing.T, addr string) {
	t.Helper()
	var clients sync.WaitGroup
	var mu sync.Mutex // guards late
	var late []int
	for range 100 {
		clients.Go(func() {
			l, err := dial(addr)
			if !assert.NoError(t, err) || !assert.NoError(t, l.send(post("hi"))) {
				return
			}
			defer func() { _ = l.Close() }()
			began := time.Now()
			a, err := l.receive("POST", patience)
			if !assert.NoError(t, err) {
				return
			}
			if time.Since(began) > soon {
				mu.Lock()
				late = append(late, a.status)
				mu.Unlock()
				return
			}
			assert.Equal(t, 200, a.status)
		})
	}
	clients.Wait()
	assert.LessOrEqual(t, len(late), 1, "late answers")
	for _, status := range late {
		assert.Equal(t, 502, status, "the answer for a worker that is silent")
	}
}
