package cluster_test

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/httpfront"
	"github.com/butterfly-zmq/butterfly/internal/transport"
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

// apart starts a pipeline whose stages are proxies and workers of their own,
// between a front of its own, all over ZMTP, and returns the front's address.
func apart(t *testing.T, stages []cluster.Stage) net.Addr {
	t.Helper()
	o := transport.Options{Inproc: transport.NewInproc()}
	front, err := cluster.NewFront(cluster.FrontConfig{
		HTTP:      httpfront.Config{Listen: "127.0.0.1:0", ReadyPath: "/readyz"},
		Proxy:     "inproc://" + stages[0].Name + ".up",
		Loopback:  "inproc://loopback",
		Interrupt: "inproc://interrupt",
		Transport: o,
	})
	require.NoError(t, err)
	start(t, front)
	await(t, front.Ready())
	fronts := []loopback.FrontEndpoint{{Endpoint: "inproc://loopback"}}
	interrupts := []string{"inproc://interrupt"}
	var names []string
	next := make(map[string]string)
	for _, s := range stages {
		names = append(names, s.Name)
		next[s.Name] = "inproc://" + s.Name + ".up"
	}
	for _, s := range stages {
		p, err := cluster.NewProxy(cluster.ProxyConfig{
			Stage: s.Name, Stages: names, MaxVisits: s.MaxVisits,
			Upstream: next[s.Name], Downstream: "inproc://" + s.Name + ".down",
			Fronts: fronts, Interrupts: interrupts, Transport: o,
		})
		require.NoError(t, err)
		start(t, p)
		await(t, p.Ready())
		w, err := pipeline.NewWorker(pipeline.WorkerConfig{
			Stage: s.Name, Handler: s.Handler, Slots: s.Slots, Upstream: "inproc://" + s.Name + ".down",
			Next: next, Fronts: fronts, Interrupts: interrupts, Transport: o,
		})
		require.NoError(t, err)
		start(t, w)
	}
	require.Eventually(t, func() bool {
		status, _ := get(t, front.Addr(), "/readyz")
		return status == 200
	}, 10*time.Second, 10*time.Millisecond)
	return front.Addr()
}

// both runs a test on a pipeline in one process and on one over ZMTP.
func both(t *testing.T, stages []cluster.Stage, test func(*testing.T, net.Addr)) {
	t.Run("one process", func(t *testing.T) {
		w := whole(t, stages)
		start(t, w)
		await(t, w.Ready())
		test(t, w.Addr())
	})
	t.Run("apart", func(t *testing.T) { test(t, apart(t, stages)) })
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
