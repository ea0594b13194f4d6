//go:build linux

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// measures are samples by their names with labels, as they are served.
type measures map[string]float64

// measures asks a process for its metrics.
func (p *process) measures() measures {
	p.t.Helper()
	m, err := scrape(p.metrics())
	require.NoError(p.t, err)
	return m
}

// metrics waits for where a process serves its metrics.
func (p *process) metrics() string {
	p.t.Helper()
	return p.field("msg=metrics", "url")
}

func scrape(url string) (measures, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	m := make(measures)
	for line := range strings.Lines(string(text)) {
		if at := strings.LastIndexByte(line, ' '); at > 0 && line[0] != '#' {
			if v, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64); err == nil {
				m[line[:at]] = v
			}
		}
	}
	return m, nil
}

// has waits until a process's samples are as wanted.
func (p *process) has(want measures) {
	p.t.Helper()
	var got measures
	ok := func() bool {
		m := p.measures()
		got = make(measures)
		for name := range want {
			if v, there := m[name]; there {
				got[name] = v
			}
		}
		return assert.ObjectsAreEqual(want, got)
	}
	defer func() {
		if p.t.Failed() {
			p.t.Logf("%s has %v", p.name, got)
		}
	}()
	eventually(p.t, p.name+" to have the wanted metrics", ok)
}

const here = "127.0.0.1:0"

// Front, proxy and worker count what becomes of requests, each its own part of
// it, while all goes well.
func TestMetricsOfProcesses(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	f := r.front(ours, []stage{echo}, "--metrics", here)
	p := r.proxy(ours, echo, "--metrics", here)
	w := r.run("worker", append([]string{
		"worker", "echo", "--upstream-proxy", r.down(echo), "--count", "2", "--metrics", here,
	}, r.toFronts()...)...)
	ready(t, f)
	const requests = 20
	const own5xx = `butterfly_front_requests_total{code="5xx",front="front",stage=""}`
	notReady := f.measures()[own5xx]
	for range requests {
		wants(t, f.addr, post("hello"), 200, "hello")
	}
	wantsStatus(t, f.addr, "POST / HTTP/1.1\n\n", 400) // no Host
	wantsStatus(t, f.addr, "no request\n\n", 400)
	wantsStatus(t, f.addr, "BREW / HTTP/1.1\nHost: x\n\n", 501)

	of := `front="front",stage="` + r.up(echo) + `"`
	f.has(measures{
		`butterfly_front_ready{front="front"}`:                              1,
		`butterfly_front_requests_total{code="2xx",` + of + `}`:             requests,
		`butterfly_front_requests_total{code="4xx",` + of + `}`:             0,
		`butterfly_front_requests_total{code="4xx",front="front",stage=""}`: 2,
		own5xx: notReady + 1,
		`butterfly_front_request_duration_seconds_count{code="2xx",` + of + `}`:             requests,
		`butterfly_front_request_duration_seconds_bucket{code="2xx",` + of + `,le="+Inf"}`:  requests,
		`butterfly_front_request_duration_seconds_bucket{code="2xx",` + of + `,le="60"}`:    requests,
		`butterfly_front_ended_total{front="front",how="answered"}`:                         requests,
		`butterfly_front_pending{front="front"}`:                                            0,
		`butterfly_front_stage_up{` + of + `}`:                                              1,
		`butterfly_transport_peers{part="front",socket="loopback"}`:                         2,
		`butterfly_transport_peers{part="front",socket="interrupt"}`:                        2,
		`butterfly_transport_peers{part="front",socket="upstream"}`:                         1,
		`butterfly_transport_connections_total{part="front",socket="upstream"}`:             1,
		`butterfly_transport_queued_bytes{part="front",socket="upstream"}`:                  0,
		`butterfly_front_request_duration_seconds_count{code="5xx",front="front",stage=""}`: notReady + 1,
		`butterfly_front_refused_total{front="front",reason="max_pending"}`:                 0,
	})
	assert.Positive(t, f.measures()[`butterfly_front_request_duration_seconds_sum{code="2xx",`+of+`}`])
	p.has(measures{
		`butterfly_stage_queued{proxy="",stage="echo"}`:                              0,
		`butterfly_stage_jobs_total{proxy="",stage="echo"}`:                          requests,
		`butterfly_stage_jobs_done_total{proxy="",stage="echo"}`:                     requests,
		`butterfly_stage_queue_wait_seconds_count{proxy="",stage="echo"}`:            requests,
		`butterfly_stage_workers{proxy="",stage="echo"}`:                             1,
		`butterfly_stage_slots{proxy="",stage="echo"}`:                               2,
		`butterfly_stage_slots_idle{proxy="",stage="echo"}`:                          2,
		`butterfly_transport_peers{part="proxy:echo",socket="downstream"}`:           1,
		`butterfly_transport_peers{part="proxy:echo",socket="upstream"}`:             1,
		`butterfly_stage_jobs_refused_total{proxy="",reason="expired",stage="echo"}`: 0,
	})
	w.has(measures{
		`butterfly_worker_slots{stage="echo"}`:                               2,
		`butterfly_worker_jobs_total{stage="echo"}`:                          requests,
		`butterfly_worker_jobs_failed_total{stage="echo"}`:                   0,
		`butterfly_worker_job_duration_seconds_count{stage="echo"}`:          requests,
		`butterfly_worker_hung_handlers{stage="echo"}`:                       0,
		`butterfly_transport_peers{part="workers:echo",socket="loopback"}`:   1,
		`butterfly_transport_peers{part="workers:echo",socket="downstream"}`: 1,
	})
	assert.Positive(t, w.measures()[`butterfly_worker_busy_seconds_total{stage="echo"}`])
}

// What waits is shown while it waits, and what a lost worker costs afterwards. A
// part that is told to stop serves its metrics until it has drained.
func TestMetricsInTrouble(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	f := r.front(ours, []stage{echo}, "--metrics", here)
	p := r.proxy(ours, echo, "--metrics", here)
	w := r.worker(ours, echo, 2)
	ready(t, f)

	w.pause()
	var links []*link
	for range 5 {
		l := connect(t, f.addr)
		require.NoError(t, l.send(post("hi")))
		links = append(links, l)
	}
	p.has(measures{
		`butterfly_stage_queued{proxy="",stage="echo"}`:     3,
		`butterfly_stage_slots_busy{proxy="",stage="echo"}`: 2,
		`butterfly_stage_slots_idle{proxy="",stage="echo"}`: 0,
	})
	f.has(measures{`butterfly_front_pending{front="front"}`: 5})
	assert.Positive(t, p.measures()[`butterfly_stage_queued_bytes{proxy="",stage="echo"}`])
	assert.Positive(t, f.measures()[`butterfly_front_pending_bytes{front="front"}`])

	f.signal(syscall.SIGTERM)
	f.has(measures{`butterfly_front_ready{front="front"}`: 0, `butterfly_front_pending{front="front"}`: 5})

	w.kill() // with its jobs unread: its connection is reset. POSTs are not repeated
	r.worker(ours, echo, 2)
	statuses := make(map[int]int)
	for _, l := range links {
		a, err := l.receive("POST", patience)
		require.NoError(t, err)
		statuses[a.status]++
	}
	assert.Equal(t, map[int]int{200: 3, 502: 2}, statuses)
	p.has(measures{
		`butterfly_stage_queued{proxy="",stage="echo"}`:                                  0,
		`butterfly_stage_jobs_refused_total{proxy="",reason="worker_lost",stage="echo"}`: 2,
		`butterfly_stage_jobs_done_total{proxy="",stage="echo"}`:                         3,
		`butterfly_stage_queue_wait_seconds_count{proxy="",stage="echo"}`:                5,
		`butterfly_stage_queue_wait_seconds_bucket{proxy="",stage="echo",le="0.0001"}`:   2, // those that found a slot
	})
	url := f.metrics()
	assert.Zero(t, f.endsWithin(drainLimit))
	_, err := scrape(url)
	assert.Error(t, err, "it serves metrics beyond its end")
}

// Whoever cannot have the address for metrics does not begin to serve, and says
// why in a line.
func TestMetricsAddressTaken(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	p := r.proxy(ours, echo, "--metrics", here)
	address := strings.TrimSuffix(strings.TrimPrefix(p.metrics(), "http://"), "/metrics")
	code, _, stderr := call(t, "--listen", here, "--metrics", address)
	assert.Equal(t, 1, code)
	assert.Equal(t, "prime-serverd: metrics: listen tcp "+address+": bind: address already in use\n", stderr)
	code, _, stderr = call(t, "--listen", here, "--metrics", "nowhere")
	assert.Equal(t, 2, code)
	assert.Contains(t, stderr, `"nowhere" is no address to listen on`)
}

// Parts of a graph that are processes of their own serve metrics at ports of
// their own, from the graph's on; all in one process at the first.
func TestMetricsOfAGraph(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	roles := []string{"front", "proxy:parse", "workers:parse", "proxy:slice", "workers:slice", "proxy:echo", "workers:echo"}
	base := freePorts(t, len(roles))
	file := r.write("graph.yaml", loose+fmt.Sprintf("metrics: {listen: \"127.0.0.1:%d\"}\n", base))
	at := func(i int) string { return fmt.Sprintf("http://127.0.0.1:%d/metrics", base+i) }

	up := r.run("up", "up", file)
	f := up.readies("front")
	wants(t, f.addr, isPrime("7"), 200, "7")
	for i, role := range roles {
		m, err := scrape(at(i))
		require.NoError(t, err, role)
		kind, stage, _ := strings.Cut(role, ":")
		has := map[string]string{
			"front":   `butterfly_front_ready{front="front"}`,
			"proxy":   `butterfly_stage_queued{proxy="",stage="` + stage + `"}`,
			"workers": `butterfly_worker_slots{stage="` + stage + `"}`,
		}
		for other, name := range has {
			_, there := m[name]
			assert.Equal(t, kind == other, there, "%s: %s", role, name)
		}
		assert.Contains(t, m, `butterfly_transport_peers{part="`+role+`",socket="loopback"}`)
	}
	up.terminate(drainLimit)
	_, err := scrape(at(0))
	require.Error(t, err)

	whole := r.run("run", "run", file)
	f = whole.readies("front")
	wants(t, f.addr, isPrime("7"), 200, "7")
	whole.has(measures{
		`butterfly_front_requests_total{code="2xx",front="front",stage="parse"}`: 1,
		`butterfly_stage_jobs_total{proxy="",stage="parse"}`:                     1,
		`butterfly_worker_jobs_total{stage="slice"}`:                             1,
		`butterfly_front_requests_total{code="2xx",front="front",stage="echo"}`:  0,
	})
	assert.Equal(t, at(0), whole.metrics())
	whole.terminate(drainLimit)

	none := r.run("run", "run", file, "--metrics", "off")
	none.readies("front")
	_, err = scrape(at(0))
	assert.Error(t, err)
}
