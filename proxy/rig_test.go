package proxy

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/stretchr/testify/require"
)

// patience bounds what tests wait for; on a healthy machine nothing comes near.
const patience = 20 * time.Second

// rig is a running proxy and its fake surroundings. What it starts ends with
// the test.
type rig struct {
	*Proxy
	t       testing.TB
	space   *transport.Inproc
	answers chan loopback.Answer // what the proxy itself answers
	logs    *logBook
	cancel  context.CancelFunc
	ended   chan error
}

// newRig runs a proxy on endpoints of the scheme; change, if not nil, has the
// last word on its configuration.
func newRig(t testing.TB, scheme string, change func(*Config)) *rig {
	r := &rig{t: t, space: transport.NewInproc(), answers: make(chan loopback.Answer, 1000), logs: &logBook{}, ended: make(chan error, 1)}
	c := r.config(scheme)
	if change != nil {
		change(&c)
	}
	var err error
	r.Proxy, err = New(c)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		wait(t, r.finished)
	})
	wait(t, r.Ready())
	return r
}

func (r *rig) config(scheme string) Config {
	c := Config{
		Stage:      "test",
		Upstream:   "inproc://up",
		Downstream: "inproc://down",
		Transport:  transport.Options{Instance: 99, Inproc: r.space},
		Answerer:   r,
		Render: func(_ *wire.Info, told Refusal) []byte {
			return []byte(told.Reason)
		},
		Logger: slog.New(slog.NewTextHandler(r.logs, nil)),
	}
	switch scheme {
	case "tcp":
		c.Upstream, c.Downstream = "tcp://127.0.0.1:0", "tcp://127.0.0.1:0"
	case "ipc":
		dir := shortDir(r.t)
		c.Upstream, c.Downstream = "ipc://"+filepath.Join(dir, "up"), "ipc://"+filepath.Join(dir, "down")
	}
	return c
}

// shortDir is a t.TempDir whose paths fit a socket's address.
func shortDir(t testing.TB) string {
	dir, err := os.MkdirTemp("", "bf")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Answer implements loopback.Answerer.
func (r *rig) Answer(a loopback.Answer, _ transport.Notifier) error {
	r.answers <- a
	return nil
}

// expectAnswer waits for a refusal.
func (r *rig) expectAnswer(id uint32, status uint16) {
	r.t.Helper()
	a := receive(r.t, r.answers)
	require.Equal(r.t, id, a.Info.ID)
	require.Equal(r.t, status, a.Info.Code)
	require.NotEqual(r.t, RefusalOf(nil).Reason, string(a.Payload.Frames()[0]), "the reason is a known one")
}

// eventually waits for a condition on the stage's status.
func (r *rig) eventually(ok func(wire.Status) bool) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return ok(r.Status()) }, patience, time.Millisecond)
}

// logBook is a log that may be written concurrently.
type logBook struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// expect waits for a line.
func (l *logBook) expect(t *testing.T, text string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(l.String(), text) }, patience, time.Millisecond)
}

// peer is a fake front or worker: a DEALER.
type peer struct {
	t      testing.TB
	dialer *transport.Dialer
	cancel context.CancelFunc
	done   chan struct{}
	got    chan transport.Message
}

// dial connects a peer that announces instance, unless that is 0.
func (r *rig) dial(endpoint string, instance uint64) *peer {
	p := &peer{t: r.t, done: make(chan struct{}), got: make(chan transport.Message, 10_000)}
	o := transport.Options{Socket: transport.Dealer, Instance: instance, Inproc: r.space}
	d, err := transport.NewDialer(endpoint, o, p)
	require.NoError(r.t, err)
	p.dialer = d
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	go func() {
		defer close(p.done)
		_ = d.Run(ctx)
	}()
	r.t.Cleanup(p.leave)
	return p
}

func (r *rig) front(instance uint64) *peer  { return r.dial(r.UpstreamEndpoint(), instance) }
func (r *rig) worker(instance uint64) *peer { return r.dial(r.DownstreamEndpoint(), instance) }

// leave disconnects.
func (p *peer) leave() {
	p.cancel()
	<-p.done
}

func (p *peer) PeerUp(*transport.Peer)          {}
func (p *peer) PeerDown(*transport.Peer, error) {}
func (p *peer) Receive(_ *transport.Peer, batch []transport.Message) {
	for _, m := range batch {
		p.got <- m
	}
}

func (p *peer) send(frames ...[]byte) {
	p.t.Helper()
	require.NoError(p.t, p.dialer.Send(frames, nil))
}

// beat sends a butterfly beat.
func (p *peer) beat(slot uint16, done wire.Key) {
	p.t.Helper()
	b := wire.Beat{Slot: slot, Worker: 7, Done: done}
	p.send([]byte("app"), b.AppendTo(nil))
}

// submit sends a job and returns its key.
func (p *peer) submit(info *wire.Info, payload ...string) wire.Key {
	p.t.Helper()
	frames := [][]byte{info.AppendTo(nil)}
	for _, f := range payload {
		frames = append(frames, []byte(f))
	}
	p.send(frames...)
	return info.Key()
}

// job receives a job.
func (p *peer) job() (wire.Info, [][]byte) {
	p.t.Helper()
	m := receive(p.t, p.got)
	require.GreaterOrEqual(p.t, len(m), 2)
	info, err := wire.ParseInfo(m[0])
	require.NoError(p.t, err)
	return info, m[1:]
}

// butterflyInfo returns an info frame as a butterfly front writes it.
func butterflyInfo(id uint32) *wire.Info {
	i := &wire.Info{ID: id, Time: 1000, Version: 1}
	i.Extend()
	i.Instance = 5
	return i
}

func receive[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func wait(t testing.TB, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
}
