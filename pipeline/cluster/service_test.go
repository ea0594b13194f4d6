package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// parsed returns the graph of a text.
func parsed(t *testing.T, text string) *graph.Graph {
	t.Helper()
	g, err := graph.Parse([]graph.File{{Name: "graph.yaml", Data: []byte(text)}}, graph.Options{})
	require.NoError(t, err)
	return g
}

// joined gives every part of g an endpoint inside this process.
func joined(g *graph.Graph) *graph.Graph {
	at := func(name string) graph.Endpoint {
		return graph.Endpoint{Bind: "inproc://" + name, Connect: "inproc://" + name}
	}
	for i := range g.Fronts {
		f := &g.Fronts[i]
		f.Loopback, f.Interrupt = at(f.Name+".loop"), at(f.Name+".int")
	}
	for i := range g.Stages {
		s := &g.Stages[i]
		s.Upstream, s.Downstream = at(s.Name+".up"), at(s.Name+".down")
	}
	return g
}

// service returns the builder of a graph's parts, with a log.
func service(t *testing.T, g *graph.Graph, workers map[string]pipeline.Handler) (*cluster.Service, *lines) {
	t.Helper()
	log := &lines{}
	s, err := cluster.NewService(cluster.ServiceConfig{
		Graph: g, Workers: workers, Slots: 3,
		Logger:    slog.New(slog.NewTextHandler(log, nil)),
		Transport: transport.Options{Inproc: transport.NewInproc()},
	})
	require.NoError(t, err)
	return s, log
}

// lines are what was logged.
type lines struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// bothWays runs a test on a graph from hand to hand and over sockets, with the
// addresses of its fronts.
func bothWays(t *testing.T, text string, workers map[string]pipeline.Handler, test func(t *testing.T, addrs []net.Addr, log *lines)) {
	t.Run("hand to hand", func(t *testing.T) {
		s, log := service(t, parsed(t, text), workers)
		local, err := s.Local()
		require.NoError(t, err)
		start(t, local)
		for _, ready := range local.Ready() {
			await(t, ready)
		}
		test(t, local.Addrs(), log)
	})
	t.Run("over sockets", func(t *testing.T) {
		g := joined(parsed(t, text))
		s, log := service(t, g, workers)
		rest, err := s.Group(behindFronts(g), 0)
		require.NoError(t, err)
		start(t, rest)
		var addrs []net.Addr
		for _, f := range g.Fronts {
			front, err := s.Front(f.Name)
			require.NoError(t, err)
			start(t, front)
			await(t, front.Ready())
			require.Eventually(t, func() bool {
				status, _ := get(t, front.Addr(), "/readyz")
				return status == 200
			}, 10*time.Second, 10*time.Millisecond)
			addrs = append(addrs, front.Addr())
		}
		test(t, addrs, log)
	})
}

// behindFronts returns all roles but the fronts.
func behindFronts(g *graph.Graph) (roles []graph.Role) {
	for _, r := range g.AllRoles() {
		if r.Kind != graph.RoleFront {
			roles = append(roles, r)
		}
	}
	return roles
}

func handlers(of map[string]pipeline.HandlerFunc) map[string]pipeline.Handler {
	all := make(map[string]pipeline.Handler)
	for name, h := range of {
		all[name] = h
	}
	return all
}

// A handler may forward where the graph has an edge, by name, and nowhere else.
func TestTheGraphNamesTheEdges(t *testing.T) {
	const text = `
version: 1
front: {listen: "127.0.0.1:0"}
routes: [{path: /m, host: m, stage: middle}, {prefix: /, stage: choose}]
stages:
  choose: {worker: choose, next: [left, right]}
  left: {worker: side}
  right: {worker: side}
  middle: {worker: side, next: [left]}
`
	workers := handlers(map[string]pipeline.HandlerFunc{
		"choose": func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
			r, err := job.Request()
			if err != nil {
				return pipeline.Result{}, err
			}
			return pipeline.Forward(strings.TrimPrefix(r.Path(), "/"), []byte("x")), nil
		},
		"side": func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
			return pipeline.Text(200, job.Stage()), nil
		},
	})
	bothWays(t, text, workers, func(t *testing.T, addrs []net.Addr, log *lines) {
		for path, want := range map[string]string{"/left": "left", "/right": "right"} {
			status, body := get(t, addrs[0], path)
			assert.Equal(t, 200, status)
			assert.Equal(t, want, body)
		}
		for path, reason := range map[string]string{
			"/middle": `stage \"choose\" has no next stage \"middle\"`,
			"/nobody": `stage \"choose\" has no next stage \"nobody\"`,
			"/":       `stage \"choose\" has not exactly one next stage`,
		} {
			status, body := get(t, addrs[0], path)
			assert.Equal(t, 500, status)
			assert.Contains(t, body, "internal error (request ")
			assert.Contains(t, log.String(), reason)
		}
	})
}

// Several fronts share the stages, and each gets the answers to its own
// requests, of its own bounds.
func TestSeveralFrontsShareTheStages(t *testing.T) {
	const text = `
version: 1
fronts:
  east: {listen: "127.0.0.1:0"}
  west: {listen: "127.0.0.1:0", max_target: 20}
routes: [{prefix: /, stage: echo}]
stages: {echo: {worker: echo, count: 4}}
`
	workers := handlers(map[string]pipeline.HandlerFunc{"echo": func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
		r, err := job.Request()
		if err != nil {
			return pipeline.Result{}, err
		}
		return pipeline.Text(200, r.Path()), nil
	}})
	bothWays(t, text, workers, func(t *testing.T, addrs []net.Addr, _ *lines) {
		var clients sync.WaitGroup
		for n := range 40 {
			clients.Go(func() {
				path := fmt.Sprintf("/%d", n)
				status, body := get(t, addrs[n%2], path)
				assert.Equal(t, 200, status)
				assert.Equal(t, path, body)
			})
		}
		clients.Wait()
		const long = "/a/path/that/is/longer"
		status, _ := get(t, addrs[0], long)
		assert.Equal(t, 200, status)
		status, _ = get(t, addrs[1], long)
		assert.Equal(t, 414, status)
	})
}

// A stage does as many jobs at a time as its count says, and max_queue more may
// wait.
func TestCountAndMaxQueue(t *testing.T) {
	const text = `
version: 1
front: {listen: "127.0.0.1:0"}
routes: [{prefix: /, stage: slow}]
stages: {slow: {worker: slow, count: 2, max_queue: 1}}
`
	running, release := make(chan struct{}, 10), make(chan struct{})
	workers := handlers(map[string]pipeline.HandlerFunc{"slow": func(context.Context, *pipeline.Job) (pipeline.Result, error) {
		running <- struct{}{}
		<-release
		return pipeline.Text(200, "done"), nil
	}})
	bothWays(t, text, workers, func(t *testing.T, addrs []net.Addr, _ *lines) {
		statuses := make(chan int, 10)
		ask := func() {
			status, _ := get(t, addrs[0], "/")
			statuses <- status
		}
		go ask()
		go ask()
		<-running
		<-running
		go ask()
		go ask()
		assert.Equal(t, 503, <-statuses, "one of the two has no room")
		for range 3 {
			release <- struct{}{}
			assert.Equal(t, 200, <-statuses)
		}
		<-running
		assert.Empty(t, running)
	})
}

// A front is ready without the stages that no request gets to.
func TestReadinessIsOfWhatRequestsNeed(t *testing.T) {
	g := joined(parsed(t, `
version: 1
front: {listen: "127.0.0.1:0"}
routes: [{prefix: /, stage: first}]
stages:
  first: {worker: w, next: [second]}
  second: {worker: w, next: [first]}
`))
	idle := graph.Stage{Name: "idle", Worker: "w", Next: []string{"first"}}
	idle.Upstream.Connect, idle.Upstream.Bind = "inproc://idle.up", "inproc://idle.up"
	g.Stages = append(g.Stages, idle)
	s, _ := service(t, g, handlers(map[string]pipeline.HandlerFunc{"w": nil}))
	front, err := s.Front("front")
	require.NoError(t, err)
	start(t, front)
	await(t, front.Ready())
	status, body := get(t, front.Addr(), "/readyz")
	assert.Equal(t, 503, status)
	assert.Equal(t, "the proxy of stage \"first\" at inproc://first.up is not connected\n"+
		"the proxy of stage \"second\" at inproc://second.up is not connected\n", body)
}

const simple = `
version: 1
front: {listen: "127.0.0.1:0"}
routes: [{prefix: /, stage: echo}]
stages: {echo: {worker: echo}}
`

func TestWhatCannotBeBuilt(t *testing.T) {
	_, err := cluster.NewService(cluster.ServiceConfig{})
	assert.ErrorContains(t, err, "needs a graph")
	_, err = cluster.NewService(cluster.ServiceConfig{Graph: parsed(t, simple), RunDir: "/" + strings.Repeat("deep/", 20)})
	assert.ErrorContains(t, err, "the run directory /deep/")
	assert.ErrorContains(t, err, "use a shorter")

	s, _ := service(t, parsed(t, simple), nil)
	_, err = s.Local()
	assert.ErrorContains(t, err, `stage "echo" wants worker "echo", which this program does not have`)
	for role, want := range map[graph.Role]string{
		{Kind: graph.RoleFront, Name: "front"}:  "front.loopback: it is missing: front meets",
		{Kind: graph.RoleProxy, Name: "echo"}:   "stages.echo.upstream: it is missing: proxy:echo meets",
		{Kind: graph.RoleWorkers, Name: "echo"}: "stages.echo.downstream: it is missing: workers:echo meets",
		{Kind: graph.RoleProxy, Name: "ecko"}:   `role proxy:ecko: there is no such stage (did you mean echo?)`,
		{Kind: graph.RoleFront, Name: "east"}:   "role front:east: there is no such front",
	} {
		_, err := s.Part(role, 0)
		assert.ErrorAs(t, err, new(*graph.Invalid), role.String())
		assert.ErrorContains(t, err, want)
	}

	s, _ = service(t, joined(parsed(t, simple)), nil)
	_, err = s.Parts()
	assert.ErrorContains(t, err, `wants worker "echo", which this program does not have`)
	front := graph.Role{Kind: graph.RoleFront, Name: "front"}
	_, err = s.Group([]graph.Role{front, front}, 0)
	assert.ErrorContains(t, err, "the role front is there twice")

	s, _ = service(t, joined(parsed(t, strings.Replace(simple, "{worker: echo}", "{command: [cat]}", 1))), nil)
	_, err = s.Local()
	assert.ErrorContains(t, err, `the workers of stage "echo" are other programs`)
	s, _ = service(t, joined(parsed(t, strings.Replace(simple, "{worker: echo}", "{external: true}", 1))), nil)
	_, err = s.Workers("echo", 0)
	assert.ErrorContains(t, err, "are not started by us")
	s, _ = service(t, joined(parsed(t, strings.Replace(simple, "{listen", "{max_body: 64MiB, listen", 1))), nil)
	_, err = s.Front("front")
	assert.ErrorContains(t, err, "max_body of front \"front\"")
}

func TestProgramsAreToldByLists(t *testing.T) {
	_, err := cluster.NewPrograms(cluster.ProgramsConfig{
		Stage: "echo", Command: []string{"cat"}, Interrupts: []string{"ipc:///a,b"},
	})
	assert.ErrorContains(t, err, `in place of "ipc:///a,b"`)
	_, err = cluster.NewPrograms(cluster.ProgramsConfig{Stage: "echo"})
	assert.ErrorContains(t, err, "has no command")
	_, err = cluster.NewPrograms(cluster.ProgramsConfig{Stage: "echo", Command: []string{"cat"}, Count: -1})
	assert.ErrorContains(t, err, "-1 worker programs")
}

// Each front opens the access log that is its own.
func TestAccessLogsAreOpenedForEachFront(t *testing.T) {
	g := parsed(t, strings.Replace(simple, `front: {listen: "127.0.0.1:0"}`,
		`fronts: {east: {listen: "127.0.0.1:0", access_log: e}, west: {listen: "127.0.0.1:0", access_log: w}}`, 1))
	var opened []string
	cfg := cluster.ServiceConfig{
		Graph:   g,
		Workers: handlers(map[string]pipeline.HandlerFunc{"echo": func(context.Context, *pipeline.Job) (pipeline.Result, error) { return pipeline.Text(200, ""), nil }}),
		AccessLog: func(f *graph.Front) (io.Writer, error) {
			opened = append(opened, f.Name+" "+f.AccessLog)
			return io.Discard, nil
		},
	}
	s, err := cluster.NewService(cfg)
	require.NoError(t, err)
	_, err = s.Local()
	require.NoError(t, err)
	assert.Equal(t, []string{"east e", "west w"}, opened)
	full := errors.New("disk full")
	cfg.AccessLog = func(*graph.Front) (io.Writer, error) { return nil, full }
	s, err = cluster.NewService(cfg)
	require.NoError(t, err)
	_, err = s.Local()
	assert.ErrorIs(t, err, full)
}

// stalled returns a worker that says when it runs, and goes on until it is
// released, whatever becomes of its client.
func stalled() (workers map[string]pipeline.Handler, running, release chan struct{}) {
	running, release = make(chan struct{}, 1), make(chan struct{})
	return handlers(map[string]pipeline.HandlerFunc{"echo": func(context.Context, *pipeline.Job) (pipeline.Result, error) {
		running <- struct{}{}
		<-release
		return pipeline.Text(200, "done"), nil
	}}), running, release
}

// A stop that runs out of time leaves the rest to the hard stop, which waits for
// handlers.
func TestALocalGraphThatIsStoppedHard(t *testing.T) {
	workers, running, release := stalled()
	s, _ := service(t, parsed(t, simple), workers)
	local, err := s.Local()
	require.NoError(t, err)
	ctx, cut := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- local.Run(ctx) }()
	await(t, local.Ready()[0])
	asked := make(chan error, 1)
	go func() {
		r, err := http.Get("http://" + local.Addrs()[0].String() + "/")
		if err == nil {
			_ = r.Body.Close()
		}
		asked <- err
	}()
	<-running
	expired, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	assert.ErrorIs(t, local.Shutdown(expired), context.DeadlineExceeded)
	assert.ErrorIs(t, local.Shutdown(expired), context.DeadlineExceeded, "again")
	cut()
	assert.Error(t, <-asked, "its connection is cut")
	close(release)
	require.NoError(t, <-ended)
	require.NoError(t, local.Shutdown(t.Context()), "there is nothing left")
	assert.EqualValues(t, 1, local.Stats()[0].Jobs)
}

func TestALocalGraphThatIsShutDownBeforeItRuns(t *testing.T) {
	workers, _, _ := stalled()
	s, _ := service(t, parsed(t, simple), workers)
	local, err := s.Local()
	require.NoError(t, err)
	require.NoError(t, local.Shutdown(t.Context()))
	require.NoError(t, local.Run(t.Context()))
	assert.Nil(t, local.Addrs()[0], "it was bound")
}

// A front that cannot bind ends all, and nothing is left behind.
func TestAGraphWithAnAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	text := strings.Replace(simple, `front: {listen: "127.0.0.1:0"}`,
		`fronts: {east: {listen: "127.0.0.1:0"}, west: {listen: "`+taken.Addr().String()+`"}}`, 1)
	workers, _, _ := stalled()
	s, _ := service(t, parsed(t, text), workers)
	local, err := s.Local()
	require.NoError(t, err)
	assert.ErrorContains(t, local.Run(t.Context()), taken.Addr().String()+": bind: address already in use")
	require.NoError(t, local.Shutdown(t.Context()))

	s, _ = service(t, joined(parsed(t, text)), workers)
	parts, err := s.Parts()
	require.NoError(t, err)
	assert.ErrorContains(t, parts.Run(t.Context()), "address already in use")
	require.NoError(t, parts.Shutdown(t.Context()))
}

// All parts of a graph in one process finish what was accepted.
func TestPartsAnswerWhatWasAccepted(t *testing.T) {
	workers, running, release := stalled()
	s, log := service(t, joined(parsed(t, simple)), workers)
	parts, err := s.Parts()
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- parts.Run(context.WithoutCancel(t.Context())) }()
	url := ""
	require.Eventually(t, func() bool {
		_, rest, found := strings.Cut(log.String(), "url=")
		url, _, _ = strings.Cut(rest, "\n")
		return found
	}, 10*time.Second, time.Millisecond)
	answer := make(chan string, 1)
	go func() {
		r, err := http.Get(url)
		if !assert.NoError(t, err) {
			close(answer)
			return
		}
		defer func() { _ = r.Body.Close() }()
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		answer <- string(body)
	}()
	<-running
	down := make(chan error, 1)
	go func() { down <- parts.Shutdown(t.Context()) }()
	close(release)
	assert.Equal(t, "done", <-answer)
	require.NoError(t, <-down)
	require.NoError(t, <-ended)
	for _, line := range []string{
		`msg=working stage=echo slots=3`,
		`msg=serving stage=echo upstream=inproc://echo.up downstream=inproc://echo.down`,
		`msg=serving front=front url=http://127.0.0.1:`,
	} {
		assert.Contains(t, log.String(), line)
	}
}

func TestStopOrder(t *testing.T) {
	const diamond = `
version: 1
fronts: {east: {listen: ":1"}, west: {listen: ":2"}}
routes: [{prefix: /late, stage: last}, {prefix: /, stage: first}]
stages:
  last: {external: true}
  side: {worker: w, next: [last]}
  first: {worker: w, next: [last, other, side, first], max_visits: 9}
  other: {worker: w, next: [side, first]}
`
	g := parsed(t, diamond)
	words := func(roles []graph.Role) string {
		var ranks []string
		for _, rank := range cluster.StopOrder(g, roles) {
			var names []string
			for _, r := range rank {
				names = append(names, r.String())
			}
			ranks = append(ranks, strings.Join(names, " "))
		}
		return strings.Join(ranks, ", ")
	}
	assert.Equal(t, "front:east front:west, proxy:first, workers:first, proxy:other, workers:other, "+
		"proxy:side, workers:side, proxy:last", words(g.AllRoles()))
	assert.Equal(t, "proxy:side, workers:side, proxy:last", words([]graph.Role{
		{Kind: graph.RoleProxy, Name: "last"}, {Kind: graph.RoleWorkers, Name: "side"}, {Kind: graph.RoleProxy, Name: "side"},
	}))
	assert.Empty(t, words(nil))
}

func TestDrainIsTheLongestOfTheFronts(t *testing.T) {
	g := parsed(t, simple)
	assert.Equal(t, time.Minute, cluster.Drain(g, time.Minute))
	g.Fronts = append(g.Fronts, graph.Front{DrainTimeout: time.Hour})
	assert.Equal(t, time.Hour, cluster.Drain(g, time.Minute))
	g.Fronts[0].DrainTimeout, g.Fronts[1].DrainTimeout = 2*time.Second, time.Second
	assert.Equal(t, 2*time.Second, cluster.Drain(g, time.Minute))
}
