package transport

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/mtls"
	"github.com/butterfly-zmq/butterfly/internal/mtls/mtlstest"
)

// patience bounds what tests wait for; on a healthy machine nothing comes near.
const patience = 30 * time.Second

// rig is a transport under test. What it starts ends with the test.
type rig struct {
	t        *testing.T
	endpoint string              // to listen on
	ca       *mtlstest.Authority // of tls+tcp
	files    mtls.Config         // both sides', of tls+tcp
	space    *Inproc
	logs     *logBook
}

// onEach runs f on every transport: the contract is the same on all.
func onEach(t *testing.T, f func(t *testing.T, r *rig)) {
	for _, scheme := range []string{"inproc", "ipc", "tcp", "tls+tcp"} {
		t.Run(scheme, func(t *testing.T) { f(t, newRig(t, scheme)) })
	}
}

func newRig(t *testing.T, scheme string) *rig {
	r := &rig{t: t, logs: &logBook{}, space: NewInproc()}
	switch scheme {
	case "tcp":
		r.endpoint = "tcp://127.0.0.1:0"
	case secure:
		r.endpoint = "tls+tcp://127.0.0.1:0"
		r.ca = mtlstest.NewAuthority(t)
		r.files = r.ca.Issue("rig", []string{"rig"})
	case "ipc":
		r.endpoint = "ipc://" + filepath.Join(shortDir(t), "s")
	default:
		r.endpoint = "inproc://rig"
	}
	return r
}

// shortDir is a t.TempDir whose paths fit a socket's address.
func shortDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "bf")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// options completes o for tests: quick reconnection, the rig's namespace.
func (r *rig) options(o Options) Options {
	o.Inproc = r.space
	if r.ca != nil && o.TLS == nil {
		o.TLS = r.identity(r.files, "rig")
	}
	o.Logger = r.logs.logger()
	fill(&o.Backoff.Min, time.Millisecond)
	fill(&o.Backoff.Max, 20*time.Millisecond)
	return o
}

// identity returns who a side is, that meets peers of these names.
func (r *rig) identity(files mtls.Config, peers ...string) *mtls.Identity {
	files.Peers = map[string][]string{r.endpoint: peers}
	id, err := mtls.New(files, r.logs.logger())
	require.NoError(r.t, err)
	return id
}

// running is a Listener or Dialer whose Run was started.
type running struct {
	cancel context.CancelFunc
	done   chan error
}

func start(t *testing.T, run func(context.Context) error) *running {
	ctx, cancel := context.WithCancel(context.Background())
	x := &running{cancel: cancel, done: make(chan error, 1)}
	go func() { x.done <- run(ctx) }()
	t.Cleanup(func() { x.stop(t) })
	return x
}

// stop cancels Run and waits for its end. It may be called more than once.
func (x *running) stop(t *testing.T) {
	x.cancel()
	err := await(t, x.done)
	x.done <- err
	require.NoError(t, err)
}

// listen starts a Listener on the rig's endpoint, which becomes the real one.
func (r *rig) listen(o Options, h Handler) (*Listener, *running) {
	r.t.Helper()
	l, err := Listen(r.endpoint, r.options(o), h)
	require.NoError(r.t, err)
	r.endpoint = l.Endpoint()
	return l, start(r.t, l.Run)
}

// dial starts a Dialer to the rig's endpoint.
func (r *rig) dial(o Options, h Handler) (*Dialer, *running) {
	r.t.Helper()
	d := r.dialer(o, h)
	return d, start(r.t, d.Run)
}

// dialer makes a Dialer that does not run.
func (r *rig) dialer(o Options, h Handler) *Dialer {
	r.t.Helper()
	d, err := NewDialer(r.endpoint, r.options(o), h)
	require.NoError(r.t, err)
	return d
}

// raw connects without speaking ZMTP, within TLS where that is spoken.
func (r *rig) raw() net.Conn {
	r.t.Helper()
	d := r.dialer(Options{Socket: Dealer}, nil)
	conn, err := d.dial(r.t.Context())
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// shaken connects and does the handshake as a socket of type s, and leaves the
// rest to the test.
func (r *rig) shaken(s SocketType) net.Conn {
	r.t.Helper()
	conn := r.raw()
	o := r.options(Options{Socket: s}).withDefaults()
	l, err := shake(conn, &o)
	require.NoError(r.t, err)
	return &rest{Conn: conn, read: l.conn.buf[l.conn.r:l.conn.w]}
}

// rest is a connection of which some has been read.
type rest struct {
	net.Conn
	read []byte
}

func (c *rest) Read(p []byte) (int, error) {
	if len(c.read) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.read)
	c.read = c.read[n:]
	return n, nil
}

// await receives from ch, or fails the test.
func await[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case v := <-ch:
		return v
	case <-timer.C:
		require.FailNow(t, "nothing happened for a long time")
		panic("unreachable")
	}
}

// recorder is a Handler that records what it is told, and checks the order that
// Handler promises.
type recorder struct {
	t    *testing.T
	up   chan *Peer
	got  chan received
	down chan ended
	hold chan struct{} // if set, Receive waits until it is closed

	mu    sync.Mutex // guards state
	state map[*Peer]string
}

type received struct {
	peer *Peer
	m    Message
}

type ended struct {
	peer *Peer
	err  error
}

func record(t *testing.T) *recorder {
	const room = 1 << 16 // more than any test sends: handlers do not block
	r := &recorder{
		t: t, state: make(map[*Peer]string),
		up: make(chan *Peer, room), got: make(chan received, room), down: make(chan ended, room),
	}
	t.Cleanup(r.check)
	return r
}

func (r *recorder) step(p *Peer, from, to string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state[p] != from {
		r.t.Errorf("a peer that is %q gets %q", r.state[p], to)
	}
	r.state[p] = to
}

func (r *recorder) PeerUp(p *Peer) {
	r.step(p, "", "up")
	r.up <- p
}

func (r *recorder) Receive(p *Peer, batch []Message) {
	r.step(p, "up", "up")
	if r.hold != nil {
		<-r.hold
	}
	for _, m := range batch {
		r.got <- received{p, m}
	}
}

func (r *recorder) PeerDown(p *Peer, err error) {
	r.step(p, "up", "down")
	if err == nil {
		r.t.Error("PeerDown without error")
	}
	r.down <- ended{p, err}
}

// check runs when all is over: every PeerUp had its PeerDown.
func (r *recorder) check() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.state {
		if s != "down" {
			r.t.Errorf("a peer was left %q", s)
		}
	}
}

// message returns the next message received.
func (r *recorder) message() Message {
	r.t.Helper()
	return await(r.t, r.got).m
}

// verdicts is a Notifier for many messages.
type verdicts chan error

func (v verdicts) Sent(err error) { v <- err }

// logBook keeps log lines.
type logBook struct {
	mu    sync.Mutex // guards lines
	lines []string
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, string(p))
	return len(p), nil
}

// has reports whether a line contains all of words.
func (b *logBook) has(words ...string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, line := range b.lines {
		n := 0
		for _, w := range words {
			if strings.Contains(line, w) {
				n++
			}
		}
		if n == len(words) {
			return true
		}
	}
	return false
}

func msg(frames ...string) Message {
	m := make(Message, len(frames))
	for i, f := range frames {
		m[i] = []byte(f)
	}
	return m
}

// eventually waits for a condition that nothing announces.
func eventually(t *testing.T, condition func() bool, what string) {
	t.Helper()
	require.Eventually(t, condition, patience, time.Millisecond, what)
}

func (b *logBook) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }
