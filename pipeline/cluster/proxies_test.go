package cluster_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/httpfront"
	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// severally is a graph whose proxies are parts of their own, started one by one.
type severally struct {
	*cluster.Service
	t    *testing.T
	dir  string
	addr net.Addr
	log  *lines
}

// startSeverally starts the front and all workers of a graph; the proxies are the
// test's to start.
func startSeverally(t *testing.T, text string, workers map[string]pipeline.Handler) *severally {
	t.Helper()
	dir, err := os.MkdirTemp("", "bf") // a socket's path has to be short
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &severally{t: t, dir: dir, log: &lines{}}
	g := parsed(t, text)
	s.Service, err = cluster.NewService(cluster.ServiceConfig{
		Graph: g, Workers: workers, RunDir: dir, Logger: slog.New(slog.NewTextHandler(s.log, nil)),
	})
	require.NoError(t, err)
	front, err := s.Front("front")
	require.NoError(t, err)
	start(t, front)
	await(t, front.Ready())
	s.addr = front.Addr()
	for i := range g.Stages {
		w, err := s.Workers(g.Stages[i].Name, 0)
		require.NoError(t, err)
		start(t, w)
	}
	return s
}

// proxy starts a proxy of a stage, and returns it with what ends it hard.
func (s *severally) proxy(stage string, number int) (*cluster.Proxy, func() error) {
	s.t.Helper()
	p, err := s.Proxy(stage, number)
	require.NoError(s.t, err)
	stop := start(s.t, p)
	await(s.t, p.Ready())
	return p, stop
}

// slots returns how many slots are at home at a proxy, as it tells.
func (s *severally) slots(stage string, number int) uint32 {
	s.t.Helper()
	return slotsAt(s.t, fmt.Sprintf("ipc://%s/%s.up.%d", s.dir, stage, number))
}

func slotsAt(t *testing.T, upstream string) uint32 {
	t.Helper()
	r, err := loopback.NewRemote(upstream, transport.Options{Instance: 77}, nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { _ = r.Run(ctx) })
	defer run.Wait()
	defer cancel()
	require.Eventually(t, func() bool { return !r.State().Told.IsZero() }, 5*time.Second, time.Millisecond, "it tells nothing")
	return r.State().Status.Slots
}

func (s *severally) slotsBecome(stage string, want ...uint32) {
	s.t.Helper()
	assert.EventuallyWithT(s.t, func(t *assert.CollectT) {
		for i, n := range want {
			assert.Equal(t, n, s.slots(stage, i+1), "proxy %d", i+1)
		}
	}, 20*time.Second, 20*time.Millisecond)
}

func (s *severally) ready() {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		status, _ := get(s.t, s.addr, "/readyz")
		return status == 200
	}, 10*time.Second, 5*time.Millisecond)
}

const twoProxies = `
version: 1
front: {listen: "127.0.0.1:0", timeout: 20s}
routes: [{prefix: /, stage: work}]
stages:
  work: {worker: work, count: 4, proxies: 2}
`

func TestSlotsAreSpreadOverProxiesThatComeAndGo(t *testing.T) {
	work := func(context.Context, *pipeline.Job) (pipeline.Result, error) { return pipeline.Text(200, "done"), nil }
	s := startSeverally(t, twoProxies, handlers(map[string]pipeline.HandlerFunc{"work": work}))
	_, kill := s.proxy("work", 1)
	s.ready()
	s.slotsBecome("work", 4)
	s.proxy("work", 2)
	s.slotsBecome("work", 2, 2)
	_ = kill()
	require.Eventually(t, func() bool { return s.slots("work", 2) == 4 }, 10*time.Second, 10*time.Millisecond, "at once")
	status, body := get(t, s.addr, "/readyz")
	assert.Equal(t, 200, status, "one is enough: %s", body)
	status, _ = get(t, s.addr, "/x")
	assert.Equal(t, 200, status)
	first, _ := s.proxy("work", 1)
	s.slotsBecome("work", 2, 2)
	require.NoError(t, first.Shutdown(t.Context()))
	assert.EqualValues(t, 4, s.slots("work", 2))
	assert.Contains(t, s.log.String(), "one of several proxies is away")
}

// Four jobs come to one proxy, at which two of four slots are at home: the others
// come, so that all are done at the same time.
func TestIdleSlotsComeWhereJobsWait(t *testing.T) {
	var mu sync.Mutex
	var began []time.Time
	release := make(chan struct{})
	work := func(context.Context, *pipeline.Job) (pipeline.Result, error) {
		mu.Lock()
		began = append(began, time.Now())
		mu.Unlock()
		<-release
		return pipeline.Text(200, "done"), nil
	}
	s := startSeverally(t, twoProxies, handlers(map[string]pipeline.HandlerFunc{"work": work}))
	defer close(release)
	s.proxy("work", 1)
	s.proxy("work", 2)
	s.ready()
	s.slotsBecome("work", 2, 2)

	stage, err := loopback.NewRemote("ipc://"+s.dir+"/work.up.1", transport.Options{Instance: 78}, nil) // knows one only
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { _ = stage.Run(ctx) })
	defer run.Wait()
	defer cancel()
	sent := time.Now()
	for id := range uint32(4) {
		job := &loopback.Job{}
		job.Info.ID, job.Info.Time = id, 1
		job.Payload = wire.Frames{[]byte("x")}
		require.NoError(t, stage.Submit(job, nil))
	}
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(began) == 4
	}, 10*time.Second, time.Millisecond, "two wait while two slots are idle")
	took := began[3].Sub(sent)
	t.Logf("the last slot came within %v", took)
	assert.Less(t, took, 2*time.Second, "some tenths of a second on a machine that is not busy")
}

// The parts of each request meet, though every stage has two proxies, and one of
// the join's is stopped and started anew meanwhile.
func TestPartsMeetAtOneOfSeveralProxies(t *testing.T) {
	sq := newSquares(pipeline.Fan{})
	workers := handlers(map[string]pipeline.HandlerFunc{"split": sq.split, "square": sq.square, "after": sq.after, "sum": sq.sum})
	s := startSeverally(t, `
version: 1
front: {listen: "127.0.0.1:0", timeout: 20s}
routes: [{prefix: /, stage: split}]
stages:
  split: {worker: split, count: 4, proxies: 2, next: [square, sum]}
  square: {worker: square, count: 4, proxies: 2, next: [after, sum]}
  after: {worker: after, count: 4, proxies: 2, next: [sum]}
  sum: {worker: sum, count: 4, proxies: 2}
`, workers)
	var first *cluster.Proxy
	for _, stage := range []string{"split", "square", "after", "sum"} {
		first, _ = s.proxy(stage, 1)
		s.proxy(stage, 2)
	}
	s.ready() // not all workers are connected to all proxies yet
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var clients sync.WaitGroup
	var answers, wrong countUp
	for range 4 {
		clients.Go(func() {
			for ctx.Err() == nil {
				if status, body := get(t, s.addr, "/1,2,3,4,5,6,7,8,9,10"); status != 200 || !strings.HasPrefix(body, "385") {
					wrong.note(fmt.Sprint(status, " ", body))
				}
				answers.note("")
			}
		})
	}
	more := func() {
		n := len(answers.all()) + 100
		require.Eventually(t, func() bool { return len(answers.all()) >= n }, 20*time.Second, time.Millisecond)
	}
	more()
	require.NoError(t, first.Shutdown(t.Context()))
	more()
	s.proxy("sum", 1)
	more()
	stop()
	clients.Wait()
	assert.Empty(t, wrong.all())
}

// countUp collects texts.
type countUp struct {
	mu    sync.Mutex // guards texts
	texts []string
}

func (c *countUp) note(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.texts = append(c.texts, text)
}

func (c *countUp) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.texts
}

func TestWhichProxiesThereAre(t *testing.T) {
	g := parsed(t, twoProxies)
	s, err := cluster.NewService(cluster.ServiceConfig{Graph: g, RunDir: "/run/x", Workers: handlers(map[string]pipeline.HandlerFunc{"work": nil})})
	require.NoError(t, err)
	for _, number := range []int{0, -1, 3} {
		_, err := s.Proxy("work", number)
		assert.ErrorContains(t, err, "has 2 proxies", number)
	}
	all := graph.Role{Kind: graph.RoleProxy, Name: "work"}
	part, err := s.Part(all, 0)
	require.NoError(t, err)
	assert.Len(t, part.(*cluster.Group).All(), 2, "the role without number is both")
	one := all
	one.Number = 2
	_, err = s.Group([]graph.Role{all, one}, 0)
	assert.ErrorContains(t, err, "twice")
	_, err = cluster.NewService(cluster.ServiceConfig{Graph: g, RunDir: "/run/a,b"})
	assert.ErrorContains(t, err, "commas separate endpoints")
}

// hosts is a Resolver.
type hosts struct {
	mu    sync.Mutex // guards addrs
	addrs []netip.Addr
}

func (h *hosts) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.addrs, nil
}

func (h *hosts) set(addrs ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.addrs = nil
	for _, a := range addrs {
		h.addrs = append(h.addrs, netip.MustParseAddr(a))
	}
}

// A name has two addresses, and then another in place of one: fronts and workers
// follow.
func TestProxiesBehindAName(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Skipf("only Linux has all of 127.0.0.0/8: %v", err)
	}
	_ = l.Close()
	names := &hosts{}
	names.set("127.0.0.1", "127.0.0.2")
	o := transport.Options{Resolver: names}
	dir, err := os.MkdirTemp("", "bf")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	loop, interrupt := "ipc://"+dir+"/l", "ipc://"+dir+"/i"
	up, down := freeTCP(t), freeTCP(t)
	proxyAt := func(host string) (stop func()) {
		p, err := cluster.NewProxy(cluster.ProxyConfig{
			Stage: "work", Upstream: fmt.Sprintf("tcp://%s:%d", host, up), Downstream: fmt.Sprintf("tcp://%s:%d", host, down),
			Fronts: []loopback.FrontEndpoint{{Endpoint: loop}}, Interrupts: []string{interrupt},
		})
		require.NoError(t, err)
		end := start(t, p)
		await(t, p.Ready())
		return func() { _ = end() }
	}
	stopFirst := proxyAt("127.0.0.1")
	front, err := cluster.NewFront(cluster.FrontConfig{
		HTTP:  httpfront.Config{Listen: "127.0.0.1:0", ReadyPath: "/readyz", Timeout: 20 * time.Second},
		Proxy: fmt.Sprintf("tcp://work.example:%d", up), Loopback: loop, Interrupt: interrupt, Transport: o,
	})
	require.NoError(t, err)
	start(t, front)
	await(t, front.Ready())
	work := func(context.Context, *pipeline.Job) (pipeline.Result, error) { return pipeline.Text(200, "done"), nil }
	w, err := pipeline.NewWorker(pipeline.WorkerConfig{
		Stage: "work", Handler: pipeline.HandlerFunc(work), Slots: 4, Upstream: fmt.Sprintf("tcp://work.example:%d", down),
		Fronts: []loopback.FrontEndpoint{{Endpoint: loop}}, Interrupts: []string{interrupt}, Transport: o,
	})
	require.NoError(t, err)
	start(t, w)
	works := func() bool {
		status, _ := get(t, front.Addr(), "/x")
		return status == 200
	}
	slots := func(host string) uint32 { return slotsAt(t, fmt.Sprintf("tcp://%s:%d", host, up)) }
	proxyAt("127.0.0.2")
	require.Eventually(t, func() bool { return works() && slots("127.0.0.2") == 2 }, 20*time.Second, 10*time.Millisecond)

	proxyAt("127.0.0.3")
	names.set("127.0.0.2", "127.0.0.3")
	stopFirst()
	require.Eventually(t, func() bool { return works() && slots("127.0.0.3") == 2 }, 20*time.Second, 10*time.Millisecond)
}

var given struct {
	sync.Mutex
	ports map[int]bool
}

// freeTCP returns a port that nobody uses and that was not given before. It is below
// those that systems give to outgoing connections, and so stays free.
func freeTCP(t *testing.T) int {
	t.Helper()
	given.Lock()
	defer given.Unlock()
	if given.ports == nil {
		given.ports = make(map[int]bool)
	}
	for range 1000 {
		port := 12000 + rand.IntN(20000)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		require.NoError(t, l.Close())
		if !given.ports[port] {
			given.ports[port] = true
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}
