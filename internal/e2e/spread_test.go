//go:build linux

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/transport"
)

// twice is a deployment in which each stage has two proxies: its endpoints are
// lists.
type twice struct{ *rig }

func newTwice(t *testing.T, scheme string, stages ...stage) *twice {
	t.Helper()
	r := &twice{newRig(t, scheme)}
	for _, s := range stages {
		for _, end := range []string{".up", ".down"} {
			r.ends[s.name+end] = r.end(s.name+end+"1") + "," + r.end(s.name+end+"2")
		}
	}
	return r
}

// one starts one of a stage's proxies, from 1.
func (r *twice) one(s stage, number int, flags ...string) *process {
	r.t.Helper()
	args := []string{"proxy", "--stage", s.name, "--upstream", r.upOf(s, number), "--downstream", r.end(fmt.Sprint(s.name, ".down", number))}
	p := r.run(fmt.Sprintf("proxy %s/%d", s.name, number), append(append(args, r.toFronts()...), flags...)...)
	p.says("msg=serving")
	return p
}

func (r *twice) upOf(s stage, number int) string { return r.end(fmt.Sprint(s.name, ".up", number)) }

// slots returns how many slots are at home at a proxy.
func (r *twice) slots(s stage, number int) int {
	r.t.Helper()
	told := make(statuses, 100)
	d, err := transport.NewDialer(r.upOf(s, number), transport.Options{Socket: transport.Dealer, Instance: 1}, told)
	require.NoError(r.t, err)
	ctx, stop := context.WithCancel(r.t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = d.Run(ctx) })
	defer running.Wait()
	defer stop()
	select {
	case status := <-told:
		return int(status.Slots)
	case <-time.After(patience):
		r.t.Fatalf("proxy %d of %s tells nothing", number, s.name)
		return 0
	}
}

// settles waits until both proxies have at least so many slots, and all of them
// together.
func (r *twice) settles(s stage, least, all int) {
	r.t.Helper()
	eventually(r.t, "slots at both proxies of "+s.name, func() bool {
		a, b := r.slots(s, 1), r.slots(s, 2)
		return min(a, b) >= least && a+b == all
	})
}

// One of two proxies is killed under load, and comes back: only what it held is
// repeated, or answered 502. The other goes on meanwhile, and both do afterwards.
func TestOneOfTwoProxiesIsKilledUnderLoad(t *testing.T) {
	for _, c := range []struct {
		scheme string
		victim stage
	}{{"ipc", parse}, {"tcp", compute}} {
		t.Run(c.victim.name+" over "+c.scheme, func(t *testing.T) {
			t.Parallel()
			r := newTwice(t, c.scheme, twoSteps...)
			for _, s := range twoSteps {
				for number := 1; number <= 2; number++ {
					if s != c.victim || number == 2 {
						r.one(s, number)
					}
				}
				r.worker(ours, s, 4)
			}
			victim := r.one(c.victim, 1)
			f := r.front(ours, twoSteps, "--timeout", "20s")
			ready(t, f)
			r.settles(c.victim, 2, 4)
			may, mayNot := besiege(f.addr, "GET", 8), besiege(f.addr, "POST", 8)
			for range 2 {
				may.more(t, 50)
				victim.kill()
				wants(t, f.addr, "GET /readyz HTTP/1.1\nHost: x\n\n", 200, "ok\n")
				may.more(t, 50)
				mayNot.more(t, 50)
				victim = r.one(c.victim, 1)
				r.settles(c.victim, 1, 4)
				may.more(t, 50)
			}
			assert.Equal(t, []int{200}, keysOf(may.end(t)), "what may be repeated is")
			assert.Less(t, may.longest, soon+3*time.Second)
			failed := mayNot.end(t)
			assert.Len(t, failed, 1+min(1, failed[502]), "the others are answered, or 502")
			assert.LessOrEqual(t, failed[502], 2*8)
			r.settles(c.victim, 2, 4)
		})
	}
}

// The proxies of both stages are restarted, one after the other, under load of
// which nothing may be repeated. Nothing is lost, and nothing waits for long.
func TestProxiesAreRestartedOneByOneUnderLoad(t *testing.T) {
	t.Parallel()
	r := newTwice(t, "ipc", twoSteps...)
	proxies := make(map[string]*process)
	for _, s := range twoSteps {
		for number := 1; number <= 2; number++ {
			proxies[fmt.Sprint(s.name, number)] = r.one(s, number)
		}
		r.worker(ours, s, 2)
		r.worker(ours, s, 2)
	}
	f := r.front(ours, twoSteps, "--timeout", "20s")
	ready(t, f)
	load := besiege(f.addr, "POST", 8)
	for _, s := range twoSteps {
		for number := 1; number <= 2; number++ {
			load.more(t, 50)
			proxies[fmt.Sprint(s.name, number)].terminate(patience)
			load.more(t, 50)
			r.one(s, number)
			r.settles(s, 1, 4)
		}
	}
	load.more(t, 50)
	assert.Equal(t, []int{200}, keysOf(load.end(t)))
	assert.Less(t, load.longest, 2*soon)
}

// Processes of one slot each do not all choose the same proxy, nor move together.
func TestProcessesOfOneSlotSpread(t *testing.T) {
	for _, k := range []kind{ours, python} {
		t.Run(string(k), func(t *testing.T) {
			t.Parallel()
			r := newTwice(t, "ipc", echo)
			first := r.one(echo, 1)
			r.one(echo, 2)
			var workers []*process
			for range 6 {
				workers = append(workers, r.worker(k, echo, 1))
			}
			r.settles(echo, 2, 6)
			first.signal(syscall.SIGKILL)
			eventually(t, "all at the other", func() bool { return r.slots(echo, 2) == 6 })
			r.one(echo, 1)
			r.settles(echo, 2, 6)
			for _, w := range workers[1:] {
				w.terminate(patience)
			}
			// The last one goes where the jobs are, to either.
			for number := 1; number <= 2; number++ {
				f := r.single(number)
				for n := range 3 {
					wants(t, f.addr, post(fmt.Sprint("job", n)), 200, fmt.Sprint("job", n))
				}
				f.kill() // the next one binds its sockets
			}
			workers[0].terminate(patience)
		})
	}
}

// single starts a front that knows one of the proxies only.
func (r *twice) single(number int) *front {
	r.t.Helper()
	p := r.run("front", "front", "--listen", "127.0.0.1:0", "--proxy", r.upOf(echo, number), "--loopback", r.loopback(""), "--interrupt", r.interrupt(""))
	f := &front{p, strings.TrimPrefix(p.field("msg=serving", "url"), "http://")}
	ready(r.t, f)
	return f
}

// Workers in Python go on at the other proxy, and forward to whichever is there.
func TestPythonWorkersWithSeveralProxies(t *testing.T) {
	t.Parallel()
	r := newTwice(t, "ipc", twoSteps...)
	proxies := make(map[string]*process)
	for _, s := range twoSteps {
		for number := 1; number <= 2; number++ {
			proxies[fmt.Sprint(s.name, number)] = r.one(s, number)
		}
		for range 4 {
			r.worker(python, s, 1)
		}
	}
	f := r.front(ours, twoSteps, "--timeout", "20s")
	ready(t, f)
	load := besiege(f.addr, "GET", 4)
	for _, s := range twoSteps {
		load.more(t, 10)
		victim := proxies[s.name+"1"]
		victim.kill()
		load.more(t, 10)
		r.one(s, 1)
		r.settles(s, 1, 4)
		load.more(t, 10)
	}
	assert.Equal(t, []int{200}, keysOf(load.end(t)))
}

func keysOf(statuses map[int]int) (all []int) {
	for status := range statuses {
		all = append(all, status)
	}
	return all
}

// A graph in one process, over sockets, and by up: its parts bear numbers.
func TestAGraphWithSeveralProxies(t *testing.T) {
	for _, how := range []string{"run", "up"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "ipc")
			port := freePort(t)
			file := filepath.Join(r.dir, "graph.yaml")
			require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `
version: 1
front: {listen: "127.0.0.1:%d", loopback: "ipc://%s/loop", interrupt: "ipc://%s/int"}
routes: [{path: /is_prime, stage: parse}, {prefix: /, stage: echo}]
stages:
  parse: {worker: primes.parse, next: [compute], proxies: 2}
  compute: {worker: primes.compute, proxies: 2}
  echo: {worker: echo}
`, port, r.dir, r.dir), 0o600))
			p := r.run(how, how, file)
			addr := fmt.Sprintf("127.0.0.1:%d", port)
			ready(t, &front{p, addr})
			wants(t, addr, isPrime("7"), 200, "7")
			p.says("parse.up.2")
			if how == "up" {
				p.says("proxy:compute/2")
				assert.Zero(t, p.printed("proxy:echo/1"), "the only one has no number")
			}
			p.terminate(patience)
			assert.NotContains(t, strings.ToLower(p.tail(1000)), "level=error")
		})
	}
}
