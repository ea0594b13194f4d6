package httpfront

import (
	"errors"
	"io"
	"math"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// requests returns how many answers of each class there were, and of how many
// the time is known.
func (s *Served) requests() (all, timed [classes]uint64) {
	for _, c := range Classes() {
		took := s.Took(c)
		all[c], timed[c] = s.Requests(c), took.Count()
	}
	return all, timed
}

// Answers are counted where the request went, by class, with the time they took.
func TestAnswersAreCounted(t *testing.T) {
	var own, served Served
	const slow = 30 * time.Millisecond
	r := start(t, Config{Own: &own, Served: &served, LivePath: "/livez"}, func(r *rig, j *loopback.Job) error {
		req := j.Payload.(*httptext.Request)
		switch req.Target {
		case "/refused":
			return errors.New("no")
		case "/slow":
			time.AfterFunc(slow, func() { r.reply(j, httptext.NewText(200, "")) })
			return nil
		case "/moved":
			r.reply(j, &httptext.Response{Status: 301})
			return nil
		case "/bad":
			r.reply(j, httptext.NewText(404, "no"))
			return nil
		}
		return echo(r, j)
	})
	c := r.dial()
	for target, status := range map[string]int{"/": 200, "/slow": 200, "/moved": 301, "/bad": 404, "/refused": 503, "/livez": 200} {
		c.send(get(target))
		require.Equal(t, status, c.read("GET").StatusCode, target)
	}
	c.send("BREW / HTTP/1.1\r\nHost: h\r\n\r\n")
	require.Equal(t, 501, c.read("GET").StatusCode)
	c.send("no request\r\n\r\n")
	require.Equal(t, 400, c.read("GET").StatusCode)

	all, timed := served.requests()
	assert.Equal(t, [classes]uint64{Success: 2, Redirect: 1, ClientError: 1, ServerError: 1}, all)
	assert.Equal(t, all, timed)
	all, timed = own.requests()
	assert.Equal(t, [classes]uint64{Success: 1, ClientError: 1, ServerError: 1}, all)
	assert.Equal(t, [classes]uint64{Success: 1, ServerError: 1}, timed, "nobody knows when the malformed one began")
	took := served.Took(Success)
	assert.GreaterOrEqual(t, took.Sum, slow)
	assert.Less(t, took.Sum, soon)
	stats := r.Stats()
	assert.EqualValues(t, 1, stats.Unsubmitted)
	assert.EqualValues(t, 1, stats.Accepted)
	assert.True(t, stats.Ready)
}

// A client that left is of a class of its own.
func TestHangUpsAreCounted(t *testing.T) {
	var served Served
	came := make(chan struct{}, 1)
	r := start(t, Config{Served: &served}, func(*rig, *loopback.Job) error {
		came <- struct{}{}
		return nil
	})
	c := r.dial()
	c.send(get("/"))
	wait(t, came)
	require.NoError(t, c.SetLinger(0))
	require.NoError(t, c.Close())
	require.Eventually(t, func() bool { return served.Requests(HungUp) == 1 }, soon, time.Millisecond)
	all, _ := served.requests()
	assert.Equal(t, [classes]uint64{HungUp: 1}, all)
	assert.EqualValues(t, 1, r.table.Stats().Abandoned)
}

// Connections that are turned away are counted by their bound.
func TestStatsOfConnections(t *testing.T) {
	r := start(t, Config{MaxConns: 3, MaxConnsPerClient: 2}, echo)
	var open []*client
	for range 2 {
		c := r.dial()
		c.send(get("/"))
		require.Equal(t, 200, c.read("GET").StatusCode)
		open = append(open, c)
	}
	require.Equal(t, 429, r.dial().read("GET").StatusCode)
	s := r.Stats()
	assert.Equal(t, 2, s.Conns)
	assert.EqualValues(t, 2, s.Accepted)
	assert.EqualValues(t, 1, s.Greedy)
	assert.Zero(t, s.Crowded)
	require.NoError(t, open[0].Close())
	require.Eventually(t, func() bool { return r.Stats().Conns == 1 }, soon, time.Millisecond)

	full := start(t, Config{MaxConns: 1}, echo)
	c := full.dial()
	c.send(get("/"))
	c.read("GET")
	require.Equal(t, 503, full.dial().read("GET").StatusCode)
	assert.EqualValues(t, 1, full.Stats().Crowded)
}

// mallocsPerRequest returns the allocations of a request on a kept connection,
// those of the client's side left out, which has none.
func mallocsPerRequest(t *testing.T, cfg Config) float64 {
	r := start(t, cfg, func(r *rig, j *loopback.Job) error {
		r.reply(j, httptext.NewText(200, "3"))
		return nil
	})
	nc, err := net.Dial("tcp", r.Addr().String())
	require.NoError(t, err)
	defer nc.Close()
	request, buf := []byte(get("/")), make([]byte, 4096)
	ask := func() {
		_, err := nc.Write(request)
		require.NoError(t, err)
		n, err := nc.Read(buf)
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(string(buf[:n]), "HTTP/1.1 200"))
	}
	const warm, requests = 100, 2000
	for range warm {
		ask()
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range requests {
		ask()
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / requests
}

// Counting a request allocates nothing, beside an access log or alone.
func TestCountingDoesNotAllocate(t *testing.T) {
	for name, log := range map[string]io.Writer{"alone": nil, "with an access log": io.Discard} {
		t.Run(name, func(t *testing.T) {
			plain, counted := math.Inf(1), math.Inf(1) // at least: pools lose what they have now and then
			for range 4 {
				plain = min(plain, mallocsPerRequest(t, Config{AccessLog: log}))
				counted = min(counted, mallocsPerRequest(t, Config{AccessLog: log, Own: new(Served), Served: new(Served)}))
			}
			t.Logf("%.2f allocations a request, %.2f counted", plain, counted)
			assert.Less(t, counted, plain+0.8) // the race detector has pools lose a quarter, at random
		})
	}
}
