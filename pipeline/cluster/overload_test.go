package cluster_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// askAs sends a request as a client, and returns the answer's status, header and
// body.
func askAs(t *testing.T, addr net.Addr, key string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr.String()+"/", nil)
	require.NoError(t, err)
	req.Header.Set("X-Key", key)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, resp.Header, string(body)
}

// One client with hundreds of requests in the queue delays another's single one by
// no more than one of them.
func TestAClientWithManyRequestsDelaysAnotherByOne(t *testing.T) {
	const text = `
version: 1
front: {listen: "127.0.0.1:0", client_header: X-Key, timeout: never}
routes: [{prefix: /, stage: slow}]
stages: {slow: {worker: slow, count: 1}}
`
	var done, before atomic.Int64 // jobs of many, now and when one's began
	workers := handlers(map[string]pipeline.HandlerFunc{"slow": func(ctx context.Context, job *pipeline.Job) (pipeline.Result, error) {
		r, err := job.Request()
		if err != nil {
			return pipeline.Result{}, err
		}
		header := r.Header()
		if header.Get("X-Key") == "one" {
			before.Store(done.Load())
			return pipeline.Text(200, "one"), nil
		}
		select {
		case <-time.After(5 * time.Millisecond): // is the work
		case <-ctx.Done():
		}
		done.Add(1)
		return pipeline.Text(200, "many"), nil
	}})
	bothWays(t, text, workers, func(t *testing.T, addrs []net.Addr, _ *lines) {
		const many = 400
		done.Store(0)
		var clients sync.WaitGroup
		for range many {
			c, err := net.Dial("tcp", addrs[0].String())
			require.NoError(t, err)
			defer c.Close()
			clients.Go(func() {
				_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\nX-Key: many\r\nConnection: close\r\n\r\n")
				assert.NoError(t, err)
				_, _ = io.Copy(io.Discard, c)
			})
		}
		require.Eventually(t, func() bool { return done.Load() > 10 }, 10*time.Second, time.Millisecond)
		least := int64(many)
		for range 10 {
			came := done.Load()
			status, _, body := askAs(t, addrs[0], "one")
			require.Equal(t, 200, status)
			require.Equal(t, "one", body)
			least = min(least, before.Load()-came)
		}
		require.Less(t, done.Load(), int64(many), "they still wait")
		// The one that is being done, and the one whose turn it is: the way to the
		// queue may take longer now and then, which is no matter of turns.
		assert.LessOrEqual(t, least, int64(2))
		clients.Wait()
	})
}

// Requests that cannot be answered in time are refused at once, and told when to
// come again.
func TestAdmissionByDeadline(t *testing.T) {
	const text = `
version: 1
front: {listen: "127.0.0.1:0", client_header: X-Key, timeout: 400ms}
routes: [{prefix: /, stage: slow}]
stages: {slow: {worker: slow, count: 1, admission: deadline}}
`
	workers := handlers(map[string]pipeline.HandlerFunc{"slow": func(context.Context, *pipeline.Job) (pipeline.Result, error) {
		time.Sleep(10 * time.Millisecond) // is the work
		return pipeline.Text(200, "done"), nil
	}})
	bothWays(t, text, workers, func(t *testing.T, addrs []net.Addr, _ *lines) {
		var mu sync.Mutex
		statuses := map[int]int{}
		var clients sync.WaitGroup
		end := time.Now().Add(2 * time.Second)
		for range 100 {
			clients.Go(func() {
				for time.Now().Before(end) {
					began := time.Now()
					status, header, body := askAs(t, addrs[0], "many")
					mu.Lock()
					statuses[status]++
					mu.Unlock()
					if status == 503 {
						assert.Regexp(t, "too late|does not take requests", body)
						after, err := strconv.Atoi(header.Get("Retry-After"))
						assert.NoError(t, err)
						assert.True(t, after >= 1 && after <= 60, "%d", after)
						time.Sleep(time.Until(began.Add(50 * time.Millisecond))) // an impatient client
					}
				}
			})
		}
		clients.Wait()
		t.Log(statuses)
		assert.NotZero(t, statuses[503])
		assert.NotZero(t, statuses[200])
	})
}

// What waits is behind the stage that requests enter by, whose own queue is always
// empty: they are refused there all the same, where the answer would come too late.
func TestABottleneckBehindTheEntryIsProtected(t *testing.T) {
	const text = `
version: 1
front: {listen: "127.0.0.1:0", timeout: 400ms}
routes: [{prefix: /, stage: parse}]
stages:
  parse: {worker: parse, count: 1, next: [slow], admission: deadline}
  slow: {worker: slow, count: 2%s}
`
	workers := handlers(map[string]pipeline.HandlerFunc{
		"parse": func(context.Context, *pipeline.Job) (pipeline.Result, error) {
			return pipeline.Forward("slow", []byte("x")), nil
		},
		"slow": func(context.Context, *pipeline.Job) (pipeline.Result, error) {
			time.Sleep(20 * time.Millisecond) // is the work
			return pipeline.Text(200, "done"), nil
		},
	})
	t.Run("one proxy", func(t *testing.T) {
		bothWays(t, fmt.Sprintf(text, ""), workers, func(t *testing.T, addrs []net.Addr, _ *lines) {
			isProtected(t, addrs[0])
		})
	})
	t.Run("two proxies", func(t *testing.T) {
		s := startSeverally(t, fmt.Sprintf(text, ", proxies: 2"), workers)
		s.proxy("parse", 1)
		s.proxy("slow", 1)
		s.proxy("slow", 2)
		s.ready()
		isProtected(t, s.addr)
	})
}

// isProtected asks for more than a stage behind the entry can do: some requests are
// refused before they come to it, others are answered.
func isProtected(t *testing.T, addr net.Addr) {
	t.Helper()
	var refused, done atomic.Int64
	var clients sync.WaitGroup
	end := time.Now().Add(2 * time.Second)
	for range 100 { // a second's work
		clients.Go(func() {
			for time.Now().Before(end) {
				status, header, body := askAs(t, addr, "")
				switch status {
				case 200:
					done.Add(1)
				case 503:
					refused.Add(1)
					assert.Contains(t, body, "too late")
					assert.NotEmpty(t, header.Get("Retry-After"))
					time.Sleep(50 * time.Millisecond) // an impatient client
				}
			}
		})
	}
	clients.Wait()
	t.Logf("%d done, %d refused", done.Load(), refused.Load())
	assert.NotZero(t, refused.Load())
	assert.NotZero(t, done.Load())
}

// With no_workers: refuse a request gets its 503 at once, and none once there are
// workers.
func TestRequestsAreRefusedWithoutWorkers(t *testing.T) {
	g := joined(parsed(t, `
version: 1
front: {listen: "127.0.0.1:0"}
routes: [{prefix: /, stage: echo}]
stages: {echo: {worker: echo, no_workers: refuse}}
`))
	workers := handlers(map[string]pipeline.HandlerFunc{"echo": func(context.Context, *pipeline.Job) (pipeline.Result, error) {
		return pipeline.Text(200, "done"), nil
	}})
	s, _ := service(t, g, workers)
	proxy, err := s.Proxy("echo", 0)
	require.NoError(t, err)
	start(t, proxy)
	front, err := s.Front(g.Fronts[0].Name)
	require.NoError(t, err)
	start(t, front)
	await(t, front.Ready())
	status, header, body := askAs(t, front.Addr(), "")
	require.Equal(t, 503, status)
	assert.Contains(t, body, "the stage has no workers")
	assert.NotEmpty(t, header.Get("Retry-After"))
	worker, err := s.Workers("echo", 0)
	require.NoError(t, err)
	start(t, worker)
	require.Eventually(t, func() bool {
		status, _, _ := askAs(t, front.Addr(), "")
		return status == 200
	}, 10*time.Second, 10*time.Millisecond)
}

// A local graph has its workers from the beginning.
func TestALocalGraphIsNeverWithoutWorkers(t *testing.T) {
	s, _ := service(t, parsed(t, `
version: 1
front: {listen: "127.0.0.1:0"}
routes: [{prefix: /, stage: echo}]
stages: {echo: {worker: echo, no_workers: refuse}}
`), handlers(map[string]pipeline.HandlerFunc{"echo": func(context.Context, *pipeline.Job) (pipeline.Result, error) {
		return pipeline.Text(200, fmt.Sprint(graph.NoWorkersRefuse)), nil
	}}))
	local, err := s.Local()
	require.NoError(t, err)
	start(t, local)
	await(t, local.Ready()[0])
	status, _, _ := askAs(t, local.Addrs()[0], "")
	assert.Equal(t, 200, status)
}
