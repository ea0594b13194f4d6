//go:build linux

package e2e

import (
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Memory, descriptors and goroutines do not grow with what happened before:
// neither with requests nor with connections.
func TestNothingGrows(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	roles := []*process{r.proxy(ours, echo), r.worker(ours, echo, 4)}
	f := r.front(ours, []stage{echo})
	roles = append(roles, f.process)
	ready(t, f)
	// The heap settles first; then twice the same work shows what stays.
	keptRequests(t, f.addr, 10_000)
	freshRequests(t, f.addr, 1000)
	before := footprints(t, roles)
	keptRequests(t, f.addr, 20_000)
	freshRequests(t, f.addr, 2000)
	for i, p := range roles {
		eventually(t, p.name+": descriptors closed", func() bool { return descriptors(t, p) <= before[i].descriptors })
		now := residentKiB(t, p)
		t.Logf("%s: %d KiB before, %d KiB after", p.name, before[i].resident, now)
		assert.Less(t, now, before[i].resident*5/4+2048, "KiB of %s", p.name)
	}
	for _, p := range roles {
		t.Logf("%s: %d goroutines", p.name, goroutines(t, p))
		assert.Less(t, goroutines(t, p), 60, "goroutines of %s", p.name)
	}
}

// footprint is what a process holds.
type footprint struct{ resident, descriptors int }

func footprints(t *testing.T, roles []*process) []footprint {
	t.Helper()
	var all []footprint
	for _, p := range roles {
		last := -1
		eventually(t, p.name+" at rest", func() bool { // clients' connections are closed in the background
			d := descriptors(t, p)
			rest := d == last
			last = d
			return rest
		})
		all = append(all, footprint{residentKiB(t, p), last})
	}
	return all
}

// keptRequests asks n times in all, over 16 connections.
func keptRequests(t *testing.T, addr string, n int) {
	t.Helper()
	const clients = 16
	var running sync.WaitGroup
	for c := range clients {
		l := connect(t, addr)
		running.Go(func() {
			defer func() { _ = l.Close() }()
			for i := range n / clients {
				body := fmt.Sprintf("request %d of client %d", i, c)
				a, err := l.ask(post(body))
				if !assert.NoError(t, err) || !assert.Equal(t, body, a.body) {
					return
				}
			}
		})
	}
	running.Wait()
}

// freshRequests asks n times in all, each time over a connection of its own.
func freshRequests(t *testing.T, addr string, n int) {
	t.Helper()
	const clients = 8
	var running sync.WaitGroup
	for range clients {
		running.Go(func() {
			for range n / clients {
				a, err := once(addr, post("fresh"))
				if !assert.NoError(t, err) || !assert.Equal(t, "fresh", a.body) {
					return
				}
			}
		})
	}
	running.Wait()
}

// goroutines counts a role's goroutines: SIGQUIT makes it list them, and ends
// it. Called again it counts the same list.
func goroutines(t *testing.T, p *process) int {
	t.Helper()
	select {
	case <-p.ended:
	default:
		p.signal(syscall.SIGQUIT)
		require.Equal(t, 2, p.endsWithin(patience))
	}
	lines, _ := p.from(0)
	n := 0
	for _, l := range lines {
		if strings.HasPrefix(l, "goroutine ") && !strings.Contains(l, "m=0 mp=") {
			n++
		}
	}
	return n
}
