package cluster_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/relay"
	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// The grace that covers these cuts is the default one, a second: half of it may
// pass until a cut has healed, and all are connected again.
const inTwoSteps = `
version: 1
front: {listen: "127.0.0.1:0", timeout: 30s}
routes: [{prefix: /, stage: take}]
stages:
  take: {worker: take, count: 2, next: [work]}
  work: {worker: work, count: 2}
`

// cuttable is a running graph over tcp, in which every connection goes through a
// relay, those to one endpoint through the same.
type cuttable struct {
	t      *testing.T
	addr   net.Addr
	relays map[string]*relay.Relay
	stages map[string]*held
	ups    map[string]string // where a stage's proxy is told of jobs, past the relay
	log    *lines
}

func startCuttable(t *testing.T) *cuttable {
	t.Helper()
	c := &cuttable{t: t, relays: make(map[string]*relay.Relay), ups: make(map[string]string), log: &lines{}}
	c.stages = map[string]*held{"take": newHeld(), "work": newHeld()}
	g := parsed(t, inTwoSteps)
	g.Fronts[0].Loopback, g.Fronts[0].Interrupt = c.relayed("loopback"), c.relayed("interrupt")
	for i := range g.Stages {
		s := &g.Stages[i]
		s.Upstream, s.Downstream = c.relayed(s.Name+" upstream"), c.relayed(s.Name+" downstream")
		c.ups[s.Name] = s.Upstream.Bind
	}
	service, err := cluster.NewService(cluster.ServiceConfig{
		Graph: g, Logger: slog.New(slog.NewTextHandler(c.log, nil)),
		Workers: map[string]pipeline.Handler{
			"take": c.stages["take"].handler(func(job *pipeline.Job, text string) pipeline.Result {
				return pipeline.Forward("work", []byte(text))
			}),
			"work": c.stages["work"].handler(func(_ *pipeline.Job, text string) pipeline.Result {
				return pipeline.Text(200, text)
			}),
		},
	})
	require.NoError(t, err)
	rest, err := service.Group(behindFronts(g), 0)
	require.NoError(t, err)
	start(t, rest)
	front, err := service.Front(g.Fronts[0].Name)
	require.NoError(t, err)
	start(t, front)
	await(t, front.Ready())
	c.addr = front.Addr()
	require.Eventually(t, func() bool {
		status, _ := get(t, c.addr, "/readyz")
		return status == 200
	}, 10*time.Second, 10*time.Millisecond)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(c.log)
		}
	})
	return c
}

// relayed makes an endpoint with a relay before it.
func (c *cuttable) relayed(name string) graph.Endpoint {
	c.t.Helper()
	bind := fmt.Sprintf("127.0.0.1:%d", freeTCP(c.t))
	r, err := relay.New("127.0.0.1:0", bind)
	require.NoError(c.t, err)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	c.t.Cleanup(func() { stop(); running.Wait() })
	c.relays[name] = r
	return graph.Endpoint{Bind: "tcp://" + bind, Connect: "tcp://" + r.Addr()}
}

// cut does it to some of the connections, or all, and returns what heals them. What is
// sent before both ends of a reset connection know may be lost: nobody can tell how
// much of it arrived. So it waits until those who connected have noticed.
func (c *cuttable) cut(links []string, do func(*relay.Relay), resets bool) (heal func()) {
	connections := make(map[string]int)
	for _, link := range links {
		connections[link] = c.relays[link].Connections()
	}
	for _, link := range links {
		do(c.relays[link])
	}
	for _, link := range links {
		noticed := "endpoint=tcp://" + c.relays[link].Addr() + " "
		require.Eventually(c.t, func() bool {
			return !resets || strings.Count(c.log.String(), noticed) >= connections[link]
		}, 10*time.Second, time.Millisecond, "%s: %d connections", link, connections[link])
	}
	return func() {
		for _, link := range links {
			c.relays[link].Set(relay.Heal)
		}
	}
}

// held is a stage whose handlers go on when they are told to.
type held struct {
	goOn chan struct{}
	mu   sync.Mutex // guards runs
	runs map[string]int
}

func newHeld() *held { return &held{goOn: make(chan struct{}, 100), runs: make(map[string]int)} }

func (h *held) handler(end func(*pipeline.Job, string) pipeline.Result) pipeline.Handler {
	return pipeline.HandlerFunc(func(ctx context.Context, job *pipeline.Job) (pipeline.Result, error) {
		text := string(job.Bytes())
		if r, err := job.Request(); err == nil {
			text = r.Method + " " + r.Target
		}
		h.mu.Lock()
		h.runs[text]++
		h.mu.Unlock()
		select {
		case <-h.goOn:
			return end(job, text), nil
		case <-ctx.Done():
			return pipeline.Result{}, ctx.Err()
		}
	})
}

// counts returns how often each request was begun.
func (h *held) counts() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.runs)
}

func (h *held) begun() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, runs := range h.runs {
		n += runs
	}
	return n
}

func (h *held) release(n int) {
	for range n {
		h.goOn <- struct{}{}
	}
}

// queued waits until so many jobs wait at a stage's proxy.
func (c *cuttable) queued(stage string, jobs uint32) {
	c.t.Helper()
	r, err := loopback.NewRemote(c.ups[stage], transport.Options{Instance: 77}, nil)
	require.NoError(c.t, err)
	ctx, cancel := context.WithCancel(c.t.Context())
	var run sync.WaitGroup
	run.Go(func() { _ = r.Run(ctx) })
	defer run.Wait()
	defer cancel()
	require.Eventually(c.t, func() bool {
		s := r.State()
		return !s.Told.IsZero() && s.Status.Queued == jobs
	}, 10*time.Second, 5*time.Millisecond, "%d jobs wait at %s", jobs, stage)
}

// outcome is what a client got.
type outcome struct {
	request, got string
	status       int
	err          error
}

// ask sends a request in the background.
func (c *cuttable) ask(method, target string, to chan<- outcome) {
	o := outcome{request: method + " " + target}
	r, err := http.NewRequestWithContext(c.t.Context(), method, "http://"+c.addr.String()+target, nil)
	if err != nil {
		panic(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err == nil {
		var body []byte
		body, err = io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		o.status, o.got = answer.StatusCode, string(body)
	}
	o.err = err
	to <- o
}

// Of ten requests, most of which may not run twice, some are being worked on and
// some wait at each of two stages as the network is cut somewhere, for less than the
// grace. Whatever is cut, and how: each has its one answer, and what may not run
// twice has not.
func TestACutAndHealedNetworkLosesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("some seconds")
	}
	links := map[string][]string{"all": nil}
	for _, link := range []string{"take upstream", "take downstream", "work upstream", "work downstream", "loopback", "interrupt"} {
		links[link], links["all"] = []string{link}, append(links["all"], link)
	}
	for name, links := range links {
		for how, cut := range map[string]func(*relay.Relay){
			"reset":          (*relay.Relay).Reset,
			"refused":        func(r *relay.Relay) { r.Set(relay.Refuse) },
			"stalled":        func(r *relay.Relay) { r.Set(relay.Stall) },
			"stalled there":  func(r *relay.Relay) { r.Set(relay.StallUp) },
			"stalled thence": func(r *relay.Relay) { r.Set(relay.StallDown) },
		} {
			t.Run(strings.ReplaceAll(name+" "+how, " ", "_"), func(t *testing.T) {
				t.Parallel()
				c := startCuttable(t)
				c.askBehindACut(func() (heal func()) { return c.cut(links, cut, !strings.HasPrefix(how, "stalled")) })
				for stage, h := range c.stages {
					for request, runs := range h.counts() {
						if strings.HasPrefix(request, "POST") {
							assert.Equal(t, 1, runs, "%s at %s", request, stage)
						}
					}
				}
			})
		}
	}
}

// askBehindACut asks, cuts, heals, and wants the answers.
func (c *cuttable) askBehindACut(cut func() (heal func())) {
	const length = 300 * time.Millisecond
	answers := make(chan outcome, 10)
	for i := range cap(answers) {
		go c.ask([]string{"POST", "GET", "POST"}[i%3], fmt.Sprint("/", i), answers)
	}
	take, work := c.stages["take"], c.stages["work"]
	take.release(5)
	c.queued("take", 3)
	c.queued("work", 3)
	require.Eventually(c.t, func() bool { return take.begun() == 7 && work.begun() == 2 }, 10*time.Second, time.Millisecond)
	over := time.After(length)
	heal := cut()
	take.release(1)
	work.release(1)
	<-over
	heal()
	take.release(90)
	work.release(90)
	for range cap(answers) {
		o := <-answers
		if assert.NoError(c.t, o.err, o.request) {
			assert.Equal(c.t, 200, o.status, "%s: %s", o.request, o.got)
			assert.Equal(c.t, o.request, o.got)
		}
	}
}
