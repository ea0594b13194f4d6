package cluster_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/httpfront"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
)

// rounds is a pipeline that sends a job around between two stages of one slot
// each, as often as its path says, and a third stage that is beside the cycle.
func rounds() []cluster.Stage {
	turn := func(next string) pipeline.HandlerFunc {
		return func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
			n, err := strconv.Atoi(string(job.Bytes()))
			if err != nil {
				return pipeline.Result{}, err
			}
			if n == 0 {
				return pipeline.Text(200, fmt.Sprint(job.Hops())), nil
			}
			return pipeline.Forward(next, []byte(strconv.Itoa(n-1))), nil
		}
	}
	begin := func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
		r, err := job.Request()
		if err != nil {
			return pipeline.Result{}, err
		}
		return pipeline.Forward("tick", []byte(strings.TrimPrefix(r.Path(), "/"))), nil
	}
	return []cluster.Stage{
		{Name: "begin", Slots: 1, Next: []string{"tick"}, Handler: pipeline.HandlerFunc(begin)},
		{Name: "tick", Slots: 1, Next: []string{"tock"}, Handler: turn("tock"), MaxVisits: 50},
		{Name: "tock", Slots: 1, Next: []string{"tick"}, Handler: turn("tick"), MaxVisits: 60},
	}
}

// deployed is a pipeline whose front, proxies and workers are parts of their own,
// over Unix sockets.
type deployed struct {
	front *cluster.Front
	dir   string
}

func (d *deployed) at(name string) string { return "ipc://" + d.dir + "/" + name }

// deploy starts a pipeline; a stage without a handler has no worker yet.
func deploy(t *testing.T, stages []cluster.Stage) *deployed {
	t.Helper()
	dir, err := os.MkdirTemp("", "bf") // a socket's path must be short
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	d := &deployed{dir: dir}
	cfg := cluster.FrontConfig{
		HTTP:     httpfront.Config{Listen: "127.0.0.1:0", ReadyPath: "/readyz"},
		Loopback: d.at("loop"), Interrupt: d.at("int"),
	}
	next := make(map[string]string)
	for i, s := range stages {
		next[s.Name] = d.at(s.Name + ".up")
		if i == 0 {
			cfg.Proxy = next[s.Name]
		} else {
			cfg.Watch = append(cfg.Watch, next[s.Name])
		}
	}
	d.front, err = cluster.NewFront(cfg)
	require.NoError(t, err)
	start(t, d.front)
	await(t, d.front.Ready())
	for _, s := range stages {
		d.stage(t, s, next)
	}
	return d
}

// stage starts a stage's proxy, and its worker.
func (d *deployed) stage(t *testing.T, s cluster.Stage, next map[string]string) {
	t.Helper()
	fronts := []loopback.FrontEndpoint{{Endpoint: d.at("loop")}}
	interrupts := []string{d.at("int")}
	p, err := cluster.NewProxy(cluster.ProxyConfig{
		Stage: s.Name, Stages: slices.Collect(maps.Keys(next)), MaxVisits: s.MaxVisits,
		Upstream: next[s.Name], Downstream: d.at(s.Name + ".down"), Fronts: fronts, Interrupts: interrupts,
	})
	require.NoError(t, err)
	start(t, p)
	await(t, p.Ready())
	if s.Handler == nil {
		return
	}
	w, err := pipeline.NewWorker(pipeline.WorkerConfig{
		Stage: s.Name, Handler: s.Handler, Slots: s.Slots, Upstream: d.at(s.Name + ".down"),
		Next: next, Fronts: fronts, Interrupts: interrupts,
	})
	require.NoError(t, err)
	start(t, w)
}

// ready waits until every stage has workers, and returns where the front is.
func (d *deployed) ready(t *testing.T) net.Addr {
	t.Helper()
	require.Eventually(t, func() bool {
		status, _ := get(t, d.front.Addr(), "/readyz")
		return status == 200
	}, 10*time.Second, 10*time.Millisecond)
	return d.front.Addr()
}

// both runs a test on a pipeline in one process and on one of many parts.
func both(t *testing.T, stages []cluster.Stage, test func(*testing.T, net.Addr)) {
	t.Run("one process", func(t *testing.T) {
		w := whole(t, stages)
		start(t, w)
		await(t, w.Ready())
		test(t, w.Addr())
	})
	t.Run("apart", func(t *testing.T) { test(t, deploy(t, stages).ready(t)) })
}

// A cycle of stages with one slot each, full of jobs, comes to an end: what
// goes from stage to stage is never refused, and nobody waits for room.
func TestCyclesDoNotDeadlock(t *testing.T) {
	both(t, rounds(), func(t *testing.T, addr net.Addr) {
		var clients sync.WaitGroup
		for n := range 60 {
			clients.Go(func() {
				turns := 40 + n%20
				status, body := get(t, addr, "/"+strconv.Itoa(turns))
				assert.Equal(t, 200, status)
				assert.Equal(t, strconv.Itoa(turns+2), body)
			})
		}
		clients.Wait()
	})
}

func TestAJobThatGoesAroundTooOftenIsA508(t *testing.T) {
	both(t, rounds(), func(t *testing.T, addr net.Addr) {
		status, body := get(t, addr, "/99")
		assert.Equal(t, 200, status)
		assert.Equal(t, "101", body)
		status, body = get(t, addr, "/100")
		assert.Equal(t, 508, status)
		assert.Regexp(t, `^the job visited tick 51 times, at most 50 are allowed; `+
			`last stages: (tock, tick, ){3}tock, tick \(request [0-9a-f-]+\)\n?$`, body)
	})
}

func TestHopsAreBounded(t *testing.T) {
	w, err := cluster.NewWhole(cluster.WholeConfig{
		Stages: rounds(), MaxHops: 10, HTTP: httpfront.Config{Listen: "127.0.0.1:0"},
	})
	require.NoError(t, err)
	start(t, w)
	await(t, w.Ready())
	status, _ := get(t, w.Addr(), "/8")
	assert.Equal(t, 200, status)
	status, body := get(t, w.Addr(), "/9")
	assert.Equal(t, 508, status)
	assert.Contains(t, body, "the job entered 11 stages, at most 10 are allowed; last stages: tick, tock, ")
}
