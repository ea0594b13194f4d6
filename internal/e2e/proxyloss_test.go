//go:build linux

package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// someWork is a prime that takes a worker some milliseconds, so that jobs queue.
const someWork = "1000000000039"

// onePrime asks for a prime that is the body of the answer, too.
func onePrime(method, number string) string {
	if method == "GET" {
		return isPrime(number)
	}
	return fmt.Sprintf("POST /is_prime HTTP/1.1\nHost: x\nContent-Length: %d\n\n%s", len(number), number)
}

// tally is a load of requests of one method with what became of it.
type tally struct {
	stop    chan struct{}
	clients sync.WaitGroup

	mu       sync.Mutex // guards the fields below
	statuses map[int]int
	wrong    []string
	longest  time.Duration
}

// besiege has clients ask a front, each one request at a time.
func besiege(addr, method string, clients int) *tally {
	l := &tally{stop: make(chan struct{}), statuses: make(map[int]int)}
	for range clients {
		l.clients.Go(func() { l.ask(addr, method) })
	}
	return l
}

func (l *tally) ask(addr, method string) {
	c, err := dial(addr)
	for err == nil {
		select {
		case <-l.stop:
			_ = c.Close()
			return
		default:
		}
		began := time.Now()
		var a *answer
		if err = c.send(onePrime(method, someWork)); err == nil {
			a, err = c.receive(method, patience)
		}
		if err == nil {
			l.note(a, time.Since(began))
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong = append(l.wrong, err.Error())
}

func (l *tally) note(a *answer, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.statuses[a.status]++
	l.longest = max(l.longest, took)
	if a.status == 200 && a.body != someWork {
		l.wrong = append(l.wrong, a.body)
	}
}

func (l *tally) count() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, of := range l.statuses {
		n += of
	}
	return n
}

// more waits for further answers.
func (l *tally) more(t *testing.T, n int) {
	t.Helper()
	n += l.count()
	eventually(t, "more answers", func() bool { return l.count() >= n })
}

func (l *tally) end(t *testing.T) map[int]int {
	t.Helper()
	close(l.stop)
	l.clients.Wait()
	t.Logf("%v, the longest took %v", l.statuses, l.longest)
	assert.Empty(t, l.wrong)
	return l.statuses
}

// Proxies are killed under load: every request has its one answer, soon after the
// grace at the latest. Those that may run twice have the right one.
func TestProxiesKilledUnderLoad(t *testing.T) {
	for _, c := range []struct {
		scheme string
		victim stage
	}{{"ipc", parse}, {"tcp", parse}, {"ipc", compute}, {"tcp", compute}} {
		t.Run(c.victim.name+" over "+c.scheme, func(t *testing.T) {
			t.Parallel()
			r, f, _ := startBesieged(t, c.scheme, c.victim)
			may, mayNot := besiege(f.addr, "GET", 8), besiege(f.addr, "POST", 8)
			victim := r.victim
			for n := range 3 {
				may.more(t, 50)
				mayNot.more(t, 50)
				victim.kill()
				if n == 1 {
					<-time.After(1500 * time.Millisecond) // it stays away for longer than the grace
				}
				victim = r.proxy(ours, c.victim)
			}
			may.more(t, 50)
			mayNot.more(t, 50)
			assert.Len(t, may.end(t), 1, "what may be repeated is")
			assert.Less(t, may.longest, soon+3*time.Second)
			failed := mayNot.end(t)
			assert.Len(t, failed, 1+min(1, failed[502]), "the others are answered, or 502")
			assert.LessOrEqual(t, failed[502], 3*8)
			assert.Less(t, mayNot.longest, soon+3*time.Second)
			wants(t, f.addr, isPrime("7"), 200, "7")
		})
	}
}

// besieged is the pipeline of two stages whose one proxy is to be killed.
type besieged struct {
	*rig
	victim *process
}

func startBesieged(t *testing.T, scheme string, victim stage) (*besieged, *front, *process) {
	t.Helper()
	r := &besieged{rig: newRig(t, scheme)}
	for _, s := range twoSteps {
		if p := r.proxy(ours, s); s == victim {
			r.victim = p
		}
	}
	r.worker(ours, parse, 1)
	worker := r.worker(ours, compute, 1)
	f := r.front(ours, twoSteps, "--timeout", "20s")
	ready(t, f)
	return r, f, worker
}

// A job in the queue of a proxy that is killed ends at once after the grace, even
// if no other proxy comes.
func TestAQueuedJobIsNotLostInSilence(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	p := r.proxy(ours, echo) // without workers
	f := r.front(ours, []stage{echo}, "--timeout", "0s")
	l, g := connect(t, f.addr), connect(t, f.addr)
	require.NoError(t, l.send(post("x")))
	require.NoError(t, g.send(getWith("y")))
	waiting(t, r.up(echo), 2)
	p.kill()
	began := time.Now()
	a, err := l.receive("POST", soon)
	require.NoError(t, err)
	assert.Equal(t, 502, a.status)
	assert.Greater(t, time.Since(began), 900*time.Millisecond)
	r.proxy(ours, echo)
	r.worker(ours, echo, 1)
	a, err = g.receive("GET", soon)
	require.NoError(t, err)
	assert.Equal(t, 200, a.status)
	assert.Equal(t, "y", a.body)
}

// So it is with a later stage's proxy, of which the front does not know: the worker
// that sent the job on tells it.
func TestAProxyThatTheFrontDoesNotWatchIsMissedByWorkers(t *testing.T) {
	t.Parallel()
	r := newRig(t, "tcp")
	r.proxy(ours, parse)
	p := r.proxy(ours, compute) // without workers
	r.worker(ours, parse, 1)
	f := r.front(ours, []stage{parse}, "--timeout", "0s")
	l, g := connect(t, f.addr), connect(t, f.addr)
	require.NoError(t, l.send(onePrime("POST", "7")))
	require.NoError(t, g.send(onePrime("GET", "7")))
	waiting(t, r.up(compute), 2)
	p.kill()
	a, err := l.receive("POST", soon)
	require.NoError(t, err)
	assert.Equal(t, 502, a.status)
	r.proxy(ours, compute)
	r.worker(ours, compute, 1)
	a, err = g.receive("GET", answerLimit)
	require.NoError(t, err)
	assert.Equal(t, "7", a.body)
}

// A front is killed while the only worker does a job of its own. It stops, and has
// time for another front: when the first has been away for the grace, and at once
// if another is in its place.
func TestWorkersStopForAFrontThatIsKilled(t *testing.T) {
	for name, again := range map[string]bool{"and stays away": false, "and started again": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "ipc", "a", "b")
			r.proxy(ours, parse)
			r.proxy(ours, compute)
			r.worker(ours, parse, 1)
			worker := r.worker(ours, compute, 1)
			killed, other := r.namedFront(ours, "a", twoSteps), r.namedFront(ours, "b", twoSteps)
			ready(t, killed)
			ready(t, other)
			used := cpuTime(t, worker)
			require.NoError(t, connect(t, killed.addr).send(isPrime(hardPrime)))
			eventually(t, "the worker at work", func() bool { return cpuTime(t, worker) > used+50*time.Millisecond })
			killed.kill()
			began := time.Now()
			if again {
				r.namedFront(ours, "a", twoSteps)
			}
			wants(t, other.addr, isPrime("7"), 200, "7")
			took := time.Since(began)
			if again {
				assert.Less(t, took, soon)
			} else {
				assert.Greater(t, took, 4900*time.Millisecond)
				assert.Less(t, took, 5*time.Second+soon)
			}
		})
	}
}

// waiting waits until so many jobs are queued at a proxy.
func waiting(t *testing.T, upstream string, jobs uint32) {
	t.Helper()
	told := make(statuses, 100)
	d, err := transport.NewDialer(upstream, transport.Options{Socket: transport.Dealer, Instance: 1}, told)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = d.Run(ctx) })
	defer running.Wait()
	defer stop()
	for limit := time.After(patience); ; {
		select {
		case s := <-told:
			if s.Queued >= jobs {
				return
			}
		case <-limit:
			t.Fatalf("in vain: %d jobs at %s", jobs, upstream)
		}
	}
}

// statuses are what a proxy tells.
type statuses chan wire.Status

func (statuses) PeerUp(*transport.Peer)          {}
func (statuses) PeerDown(*transport.Peer, error) {}
func (s statuses) Receive(_ *transport.Peer, batch []transport.Message) {
	for _, m := range batch {
		if status, err := wire.ParseStatus(m[0]); err == nil {
			select {
			case s <- status:
			default:
			}
		}
	}
}
