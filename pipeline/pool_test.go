package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/proxy"
)

// rig is one running stage in this process, with its table.
type rig struct {
	table  *loopback.Table
	stage  *proxy.Local
	pool   *pipeline.Pool
	client *pipeline.Client
	stop   context.CancelFunc // the pool's hard stop

	mu  sync.Mutex // guards log
	log bytes.Buffer
}

func (r *rig) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(b)
}

func (r *rig) logged() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

// run starts a stage "work" of h that may forward to itself only.
func run(t *testing.T, slots int, h pipeline.HandlerFunc) *rig {
	t.Helper()
	return runWith(t, slots, h, func(*pipeline.PoolConfig) {})
}

// runWith lets change have the last word on the pool's configuration.
func runWith(t *testing.T, slots int, h pipeline.HandlerFunc, change func(*pipeline.PoolConfig)) *rig {
	t.Helper()
	r := &rig{stage: proxy.NewLocal(proxy.LocalConfig{})}
	var err error
	r.table, err = loopback.NewTable(loopback.TableConfig{})
	require.NoError(t, err)
	config := pipeline.PoolConfig{
		Stage:    "work",
		Handler:  h,
		Slots:    slots,
		Slot:     func(int) loopback.Slot { return r.stage.Slot() },
		Next:     map[string]loopback.Stage{"work": r.stage},
		Loopback: r.table,
		Logger:   slog.New(slog.NewTextHandler(r, nil)),
	}
	change(&config)
	r.pool, err = pipeline.NewPool(config)
	require.NoError(t, err)
	r.table.Notify(r.stage)
	r.table.Notify(r.pool)
	r.client = pipeline.NewClient(r.table, r.stage)

	all, end := context.WithCancel(context.WithoutCancel(t.Context()))
	hard, stop := context.WithCancel(all)
	r.stop = stop
	var parts sync.WaitGroup
	parts.Go(func() { _ = r.table.Run(all) })
	parts.Go(func() { _ = r.pool.Run(hard) })
	t.Cleanup(func() {
		r.stage.Close()
		end()
		parts.Wait()
	})
	return r
}

func (r *rig) do(t *testing.T, frames ...string) *pipeline.Response {
	t.Helper()
	var job [][]byte
	for _, f := range frames {
		job = append(job, []byte(f))
	}
	a, err := r.client.Do(t.Context(), job...)
	require.NoError(t, err)
	response, err := a.Response()
	require.NoError(t, err)
	return response
}

func TestWhatAHandlerReturnsReachesTheClient(t *testing.T) {
	secret := errors.New("the database password is swordfish")
	r := run(t, 1, func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
		switch string(job.Bytes()) {
		case "reply":
			return pipeline.Text(201, "made"), nil
		case "status zero":
			return pipeline.Reply(&pipeline.Response{Body: []byte("fine")}), nil
		case "error":
			return pipeline.Result{}, secret
		case "status":
			return pipeline.Result{}, pipeline.Errorf(409, "taken: %w", errors.New("by another"))
		case "panic":
			panic(secret)
		case "exit":
			runtime.Goexit()
		case "nil":
			return pipeline.Reply(nil), nil
		case "split":
			return pipeline.Reply(&pipeline.Response{Header: pipeline.Header{{Name: "X", Value: "a\r\nY: b"}}}), nil
		case "nowhere":
			return pipeline.Forward("nowhere", []byte("x")), nil
		case "no frames":
			return pipeline.Forward("work"), nil
		case "forward":
			return pipeline.Forward("work", []byte("reply")), nil
		case "only next":
			return pipeline.Forward("", []byte("reply")), nil
		case "request":
			_, err := job.Request()
			return pipeline.Result{}, err
		}
		return pipeline.Result{}, nil
	})
	for job, want := range map[string]struct {
		status int
		body   string // starts with
		log    string
	}{
		"reply":       {201, "made", ""},
		"status zero": {200, "fine", ""},
		"forward":     {201, "made", ""},
		"only next":   {201, "made", ""},
		"status":      {409, "taken: by another", ""},
		"error":       {500, "internal error (request ", "swordfish"},
		"panic":       {500, "internal error (request ", "pool_test.go"},
		"exit":        {500, "internal error (request ", "ended its goroutine"},
		"nil":         {500, "internal error (request ", "neither a result nor an error"},
		"nothing":     {500, "internal error (request ", "neither a result nor an error"},
		"split":       {500, "internal error (request ", "X"},
		"nowhere":     {500, "internal error (request ", `stage \"work\" has no next stage \"nowhere\"`},
		"no frames":   {500, "internal error (request ", "has no frames"},
		"request":     {400, "the job is no HTTP request", ""},
	} {
		t.Run(job, func(t *testing.T) {
			response := r.do(t, job)
			assert.Equal(t, want.status, response.Status)
			assert.True(t, strings.HasPrefix(string(response.Body), want.body), "%q", response.Body)
			assert.NotContains(t, string(response.Body), "swordfish")
			assert.Contains(t, r.logged(), want.log)
			if id, ok := strings.CutPrefix(string(response.Body), "internal error (request "); ok {
				assert.Contains(t, r.logged(), "request_id="+strings.TrimSuffix(id, ")"))
			}
		})
	}
	assert.Equal(t, 200, r.do(t, "status zero").Status, "the worker goes on")
}

func TestInterruptStopsTheRunningJob(t *testing.T) {
	started := make(chan struct{})
	ended := make(chan error)
	r := run(t, 1, func(ctx context.Context, job *pipeline.Job) (pipeline.Result, error) {
		if string(job.Bytes()) == "next" {
			return pipeline.Text(200, "next"), nil
		}
		close(started)
		<-ctx.Done()
		ended <- ctx.Err()
		return pipeline.Text(200, "too late"), nil
	})
	ctx, leave := context.WithCancelCause(t.Context())
	result := make(chan error)
	go func() {
		_, err := r.client.Do(ctx, []byte("long"))
		result <- err
	}()
	<-started
	gone := errors.New("gone")
	leave(gone)
	assert.ErrorIs(t, <-ended, context.Canceled)
	assert.ErrorIs(t, <-result, gone)
	assert.Equal(t, "next", string(r.do(t, "next").Body))
	stats := r.table.Stats()
	assert.Zero(t, stats.Late, "nothing is sent for an interrupted job")
	assert.EqualValues(t, 1, stats.Abandoned)
}

func TestInterruptedJobsThatWaitAreNotBegun(t *testing.T) {
	release := make(chan struct{})
	var begun []string
	r := run(t, 1, func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
		begun = append(begun, string(job.Bytes()))
		if len(begun) == 1 {
			<-release
		}
		return pipeline.Text(200, ""), nil
	})
	submit := func(name string) *loopback.Pending {
		p, err := r.table.Open(loopback.Ask{})
		require.NoError(t, err)
		require.NoError(t, r.stage.Submit(&loopback.Job{Info: *p.Info(), Payload: wire.Frames{[]byte(name)}}, nil))
		return p
	}
	first, second, third := submit("first"), submit("second"), submit("third")
	second.Abandon(loopback.ErrGone)
	close(release)
	for _, p := range []*loopback.Pending{first, third} {
		_, err := p.Wait()
		require.NoError(t, err)
	}
	assert.Equal(t, []string{"first", "third"}, begun)
}

func TestHardStopAnswersWhatRuns(t *testing.T) {
	started := make(chan struct{})
	r := run(t, 1, func(ctx context.Context, _ *pipeline.Job) (pipeline.Result, error) {
		close(started)
		<-ctx.Done()
		return pipeline.Result{}, ctx.Err()
	})
	go func() {
		<-started
		r.stop()
	}()
	assert.Equal(t, 503, r.do(t, "x").Status)
}

func TestDeadlineEndsTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waited time.Duration
		r := run(t, 1, func(ctx context.Context, _ *pipeline.Job) (pipeline.Result, error) {
			began := time.Now()
			<-ctx.Done()
			waited = time.Since(began)
			return pipeline.Result{}, ctx.Err()
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		a, err := r.client.Do(ctx, []byte("x"))
		if err == nil { // the handler was as fast as the client: both have the same deadline
			response, err := a.Response()
			require.NoError(t, err)
			assert.Equal(t, 504, response.Status)
		}
		synctest.Wait()
		assert.Equal(t, time.Second, waited)
	})
}

func TestPrimeServerFrontGetsRawText(t *testing.T) {
	handler := pipeline.HandlerFunc(func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
		if _, err := job.Request(); err != nil {
			return pipeline.Result{}, err
		}
		return pipeline.Reply(&pipeline.Response{Body: []byte("hello")}), nil
	})
	for name, c := range map[string]struct {
		info    wire.Info
		request string
		want    string
	}{
		"1.0 keep-alive": {wire.Info{ID: 7, KeepAlive: true}, "GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 5\r\n\r\nhello"},
		"1.1 close":      {wire.Info{ID: 7, Version: 1, Close: true}, "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 5\r\n\r\nhello"},
		"head":           {wire.Info{ID: 7, Version: 1}, "HEAD / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"},
		"escaped target": {wire.Info{ID: 7, Version: 1}, "GET %2Ffoo%3F%2Ffoo%3D HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
	} {
		back := &collect{}
		slot := &oneJob{job: &loopback.Job{Info: c.info, Payload: wire.Frames{[]byte(c.request)}}}
		pool, err := pipeline.NewPool(pipeline.PoolConfig{
			Handler: handler, Slots: 1, Slot: func(int) loopback.Slot { return slot }, Loopback: back,
		})
		require.NoError(t, err)
		require.NoError(t, pool.Run(t.Context()))
		require.Len(t, back.got, 1, name)
		assert.Equal(t, c.want, string(back.got[0].Payload.Frames()[0]), name)
		assert.EqualValues(t, 200, back.got[0].Info.Code, name)
	}
}

func TestPoolConfigIsChecked(t *testing.T) {
	valid := pipeline.PoolConfig{
		Stage:    "s",
		Handler:  pipeline.HandlerFunc(nil),
		Slot:     func(int) loopback.Slot { return &oneJob{} },
		Loopback: &collect{},
	}
	_, err := pipeline.NewPool(valid)
	require.NoError(t, err)
	for want, spoil := range map[string]func(*pipeline.PoolConfig){
		"no handler":        func(c *pipeline.PoolConfig) { c.Handler = nil },
		"-1 slots":          func(c *pipeline.PoolConfig) { c.Slots = -1 },
		"4097 slots":        func(c *pipeline.PoolConfig) { c.Slots = pipeline.MaxSlots + 1 },
		"no source of jobs": func(c *pipeline.PoolConfig) { c.Slot = nil },
		"no loopback":       func(c *pipeline.PoolConfig) { c.Loopback = nil },
		"negative timeout":  func(c *pipeline.PoolConfig) { c.Timeout = -1 },
		"handlers that ha":  func(c *pipeline.PoolConfig) { c.MaxHung = -1 },
	} {
		c := valid
		spoil(&c)
		_, err := pipeline.NewPool(c)
		assert.ErrorContains(t, err, want)
	}
}
