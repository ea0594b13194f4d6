//go:build linux

package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline"
)

// lateWorkers keep all jobs that they are given until they are told to answer, each
// with its request's body.
type lateWorkers interface {
	// has waits until so many jobs have come in all.
	has(n int)
	// answer answers the jobs of a predecessor's requests, then all others.
	answer()
}

// dull is a worker that heeds no interrupt and forgets nothing, as those in other
// languages may. It answers an old job three times: as it came, and as if it were
// each of two later ones, by number, which a front's numbers alone could not tell.
type dull struct {
	t       *testing.T
	answers *transport.Dialer

	mu   sync.Mutex // guards jobs
	jobs []transport.Message
}

// newDull starts a worker of so many slots.
func newDull(t *testing.T, r *rig, s stage, slots int) *dull {
	t.Helper()
	d := &dull{t: t}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { stop(); running.Wait() })
	dial := func(endpoint string, o transport.Options, h transport.Handler) *transport.Dialer {
		o.Instance = 0xd011
		dialer, err := transport.NewDialer(endpoint, o, h)
		require.NoError(t, err)
		running.Go(func() { _ = dialer.Run(ctx) })
		return dialer
	}
	d.answers = dial(r.loopback(""), transport.Options{Socket: transport.Push}, nil)
	beats := dial(r.down(s), transport.Options{Socket: transport.Dealer}, d)
	for slot := range slots {
		b := wire.Beat{Worker: 0xd011, Slot: uint16(slot)}
		require.NoError(t, beats.Send(transport.Message{nil, b.AppendTo(nil)}, nil))
	}
	return d
}

func (*dull) PeerUp(*transport.Peer)          {}
func (*dull) PeerDown(*transport.Peer, error) {}
func (d *dull) Receive(_ *transport.Peer, batch []transport.Message) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.jobs = append(d.jobs, batch...)
}

func (d *dull) all() []transport.Message {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.jobs
}

func (d *dull) has(n int) {
	d.t.Helper()
	eventually(d.t, "the jobs are with the worker", func() bool { return len(d.all()) >= n })
}

func (d *dull) answer() {
	jobs := d.all()
	isOld := func(m transport.Message) bool { return strings.Contains(string(m[1]), "old") }
	var later []wire.Info
	for _, m := range jobs {
		if !isOld(m) {
			later = append(later, d.info(m))
		}
	}
	for i, m := range jobs {
		if isOld(m) {
			old := d.info(m)
			d.say(old, m)
			alike := later[i%len(later)]
			old.ID, old.Time = alike.ID, alike.Time
			d.say(old, m)
			d.say(wire.Info{ID: alike.ID, Time: alike.Time, Version: 1}, m)
		}
	}
	for _, m := range jobs {
		if !isOld(m) {
			d.say(d.info(m), m)
		}
	}
}

func (d *dull) info(m transport.Message) wire.Info {
	info, err := wire.ParseInfo(m[0])
	require.NoError(d.t, err)
	return info
}

func (d *dull) say(info wire.Info, job transport.Message) {
	_, body, _ := strings.Cut(string(job[1]), "\r\n\r\n")
	info.Code = 200
	text := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	require.NoError(d.t, d.answers.Send(transport.Message{info.AppendTo(nil), []byte(text)}, nil))
}

// slow are workers of ours whose handlers heed no end of their context.
type slow struct {
	t       *testing.T
	release chan struct{}

	mu   sync.Mutex // guards jobs
	jobs int
}

func newSlow(t *testing.T, r *rig, s stage, slots int) *slow {
	t.Helper()
	l := &slow{t: t, release: make(chan struct{})}
	w, err := pipeline.NewWorker(pipeline.WorkerConfig{
		Stage: s.name, Slots: slots, Upstream: r.down(s),
		Fronts: []loopback.FrontEndpoint{{Endpoint: r.loopback("")}}, Interrupts: []string{r.interrupt("")},
		Handler: pipeline.HandlerFunc(func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
			request, err := job.Request()
			if err != nil {
				return pipeline.Result{}, err
			}
			l.mu.Lock()
			l.jobs++
			l.mu.Unlock()
			<-l.release
			return pipeline.Text(200, string(request.Body)), nil
		}),
	})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = w.Run(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
	return l
}

func (l *slow) has(n int) {
	l.t.Helper()
	eventually(l.t, "the jobs are with the workers", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.jobs >= n
	})
}

func (l *slow) answer() { close(l.release) }

// A front is killed while workers have a hundred of its jobs, and started anew at once
// where it was. What they answer late comes to the successor among the answers to its
// own requests, and no client gets what another asked for.
func TestASuccessorMixesUpNoAnswers(t *testing.T) {
	const requests = 100
	for name, workers := range map[string]func(*testing.T, *rig) lateWorkers{
		"that forget nothing": func(t *testing.T, r *rig) lateWorkers { return newDull(t, r, echo, 2*requests) },
		"of ours":             func(t *testing.T, r *rig) lateWorkers { return newSlow(t, r, echo, 2*requests) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "ipc")
			r.proxy(ours, echo)
			at := fmt.Sprintf("127.0.0.1:%d", freePort(t))
			f := r.front(ours, []stage{echo}, "--listen", at)
			w := workers(t, r)
			ready(t, f)
			for i := range requests {
				require.NoError(t, connect(t, at).send(post(fmt.Sprint("old ", i))))
			}
			w.has(requests)
			f.kill()
			began := time.Now()
			f = r.front(ours, []stage{echo}, "--listen", at, "--metrics", here)
			ready(t, f)
			links := make([]*link, requests)
			for i := range links {
				links[i] = connect(t, at)
				require.NoError(t, links[i].send(post(fmt.Sprint("new ", i))))
			}
			w.has(2 * requests)
			w.answer()
			for i, l := range links {
				a, err := l.receive("POST", soon)
				require.NoError(t, err)
				assert.Equal(t, 200, a.status, a.body)
				assert.Equal(t, fmt.Sprint("new ", i), a.body)
			}
			t.Logf("%v behind the kill", time.Since(began).Round(time.Millisecond))
			if name == "that forget nothing" { // ours have dropped theirs
				f.has(measures{`butterfly_front_late_answers_total{front="front"}`: 3 * requests})
			}
		})
	}
}
