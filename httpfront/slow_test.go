package httpfront

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/stretchr/testify/require"
)

// A client that is slow with its request costs what docs/operations.md says,
// whatever it announces. Both ends are in this process, so the client's is
// counted too.
func TestSlowSendersMemory(t *testing.T) {
	const conns = 300
	for name, tt := range map[string]struct {
		send  string
		bound int64
	}{
		"short head":      {"GET / HTTP/1.1\r\nHost: h\r\nX: ", 16 << 10},
		"long head":       {"GET / HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("a", 8<<10), 48 << 10},
		"announced body":  {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\nabc", 32 << 10},
		"announced chunk": {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n900000\r\nabc", 32 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, Config{}, echo)
			warm := r.dial()
			warm.send(get("/"))
			warm.read("GET")
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			for range conns {
				c, err := net.Dial("tcp", r.Addr().String())
				require.NoError(t, err)
				defer c.Close()
				_, err = io.WriteString(c, tt.send)
				require.NoError(t, err)
			}
			require.Eventually(t, func() bool { return r.activeConns() == conns }, soon, time.Millisecond)
			runtime.GC()
			runtime.GC() // empties the pools
			runtime.ReadMemStats(&after)
			used := int64(after.HeapAlloc+after.StackInuse) - int64(before.HeapAlloc+before.StackInuse)
			t.Log(used/conns, "bytes per connection")
			require.Less(t, used/conns, tt.bound)
		})
	}
}

// crowd are clients that send and read slowly.
type crowd struct {
	heads, bodies, readers []net.Conn
}

func (r *rig) crowd(heads, bodies, readers int) *crowd {
	join := func(n int, text string) []net.Conn {
		conns := make([]net.Conn, n)
		for i := range conns {
			c, err := net.Dial("tcp", r.Addr().String())
			require.NoError(r.t, err)
			_, err = io.WriteString(c, text)
			require.NoError(r.t, err)
			conns[i] = c
		}
		return conns
	}
	return &crowd{
		heads:   join(heads, "GET / HTTP/1.1\r\nHost: h\r\nX: "),
		bodies:  join(bodies, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n"),
		readers: join(readers, get("/large")),
	}
}

// drip sends another byte of every request, and reads some of every answer,
// until stop is closed.
func (c *crowd) drip(stop <-chan struct{}) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	buf := make([]byte, 1024)
	for {
		select {
		case <-stop:
			for _, conn := range slices.Concat(c.heads, c.bodies, c.readers) {
				_ = conn.Close()
			}
			return
		case <-tick.C:
			for _, conn := range slices.Concat(c.heads, c.bodies) {
				_, _ = conn.Write([]byte("x"))
			}
			for _, conn := range c.readers {
				_, _ = conn.Read(buf)
			}
		}
	}
}

// Slow clients do not slow others down.
func TestOthersAreNotSlowed(t *testing.T) {
	large := &httptext.Response{Body: make([]byte, 5_000_000)} // more than the kernel takes
	r := start(t, Config{HeaderTimeout: time.Minute}, func(r *rig, j *loopback.Job) error {
		if j.Payload.(*httptext.Request).Target == "/large" {
			r.reply(j, large)
			return nil
		}
		return echo(r, j)
	})
	alone := r.latency(t)
	crowd := r.crowd(300, 100, 30)
	require.Eventually(t, func() bool { return r.activeConns() == 430 }, soon, time.Millisecond)
	stop := make(chan struct{})
	var dripping sync.WaitGroup
	dripping.Go(func() { crowd.drip(stop) })
	beside := r.latency(t)
	close(stop)
	dripping.Wait()
	t.Logf("alone:  %v", alone)
	t.Logf("beside: %v with 300 slow heads, 100 slow bodies, 30 slow readers", beside)
	require.Less(t, beside.at(99), 20*alone.at(99)+100*time.Millisecond)
}

// latencies are those of requests, sorted.
type latencies []time.Duration

func (l latencies) at(percent int) time.Duration { return l[len(l)*percent/100] }

func (l latencies) String() string {
	return fmt.Sprintf("p50 %v, p99 %v, most %v", l.at(50), l.at(99), l[len(l)-1])
}

// latency measures requests, one after the other.
func (r *rig) latency(t *testing.T) latencies {
	c := r.dial()
	all := make(latencies, 2000)
	for i := range all {
		began := time.Now()
		c.send(get("/"))
		c.read("GET")
		all[i] = time.Since(began)
	}
	slices.Sort(all)
	return all
}
