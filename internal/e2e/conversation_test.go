//go:build linux

package e2e

import (
	"context"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// partner is proxy and front to one worker program, at the test's word: it shows
// every beat and every answer as it came.
type partner struct {
	t       *testing.T
	peers   chan *transport.Peer // workers' connections, as they come
	beats   chan transport.Message
	answers chan transport.Message
}

// heard is a transport.Handler that passes on what comes.
type heard struct {
	peers    chan<- *transport.Peer
	messages chan<- transport.Message
}

func (h heard) PeerUp(p *transport.Peer) {
	if h.peers != nil {
		h.peers <- p
	}
}

func (h heard) Receive(_ *transport.Peer, batch []transport.Message) {
	for _, m := range batch {
		h.messages <- m
	}
}

func (heard) PeerDown(*transport.Peer, error) {}

// newPartner listens where the rig's worker of odd connects to. Without an
// instance it is a prime_server proxy.
func newPartner(r *rig, instance uint64) *partner {
	p := &partner{
		t:       r.t,
		peers:   make(chan *transport.Peer, 16),
		beats:   make(chan transport.Message, 16),
		answers: make(chan transport.Message, 16),
	}
	p.listen(r.down(odd), transport.Options{Socket: transport.Router, Instance: instance}, heard{p.peers, p.beats})
	p.listen(r.loopback(""), transport.Options{Socket: transport.Pull}, heard{nil, p.answers})
	return p
}

func (p *partner) listen(endpoint string, o transport.Options, h heard) {
	p.t.Helper()
	l, err := transport.Listen(endpoint, o, h)
	require.NoError(p.t, err)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = l.Run(ctx) })
	p.t.Cleanup(func() {
		stop()
		l.Close()
		running.Wait()
	})
}

// next returns what a channel brings next.
func next[T any](t *testing.T, what string, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatalf("in vain: %s", what)
	}
	return v
}

// beat waits for a beat, which has to name a job as done.
func (p *partner) beat(worker uint64, done wire.Key, withdraw bool) transport.Message {
	p.t.Helper()
	m := next(p.t, "a beat", p.beats)
	require.Len(p.t, m, 2)
	b, err := wire.ParseBeat(m[1])
	require.NoError(p.t, err)
	assert.Equal(p.t, wire.Beat{Worker: worker, Done: done, Withdraw: withdraw}, b)
	return m
}

// does sends a job, and waits for its answer of 200 with that body.
func (p *partner) does(peer *transport.Peer, info []byte, text, body string) {
	p.t.Helper()
	p.send(peer, transport.Message{info, []byte(text)})
	p.answered(info, body)
}

func (p *partner) send(peer *transport.Peer, m transport.Message) {
	p.t.Helper()
	require.NoError(p.t, peer.Send(m, nil))
}

// answered waits for an answer: with the job's own info, but for the status.
func (p *partner) answered(info []byte, body string) {
	p.t.Helper()
	m := next(p.t, "an answer", p.answers)
	require.Len(p.t, m, 2)
	want, err := wire.ParseInfo(info)
	require.NoError(p.t, err)
	want.Code = 200
	assert.Equal(p.t, want.AppendTo(nil), m[0])
	assert.True(p.t, strings.HasSuffix(string(m[1]), "\r\n\r\n"+body), "%q", m[1])
}

// golden returns a frame of the protocol's description with another id.
func golden(t *testing.T, name string, id byte) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "wire", "testdata", "golden", name+".hex"))
	require.NoError(t, err)
	frame, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	require.NoError(t, err)
	frame[0] = id
	return frame
}

func keyOf(t *testing.T, info []byte) wire.Key {
	t.Helper()
	i, err := wire.ParseInfo(info)
	require.NoError(t, err)
	return i.Key()
}

const echoed = "POST /echo HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi"

// A Python worker beats once for every connection and every job, names the job,
// hands the info frame on whole, and withdraws until it has the receipt.
func TestPythonConversation(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	p := newPartner(r, 42)
	w := r.python(odd)
	peer := next(t, "a connection", p.peers)
	me := peer.Instance()
	assert.NotZero(t, me, "it announces itself")
	assert.Empty(t, p.beat(me, wire.Key{}, false)[0])

	unknown := append(golden(t, "info-extended", 1), 77, 3, 'a', 'b', 'c') // a field of tomorrow
	p.does(peer, unknown, strings.Replace(echoed, "/echo", "/warm", 1), "hi")
	assert.Equal(t, "hi", string(p.beat(me, keyOf(t, unknown), false)[0]), "for the chooser")

	peer.Close(os.ErrClosed)
	peer = next(t, "another connection", p.peers)
	assert.Equal(t, "hi", string(p.beat(me, keyOf(t, unknown), false)[0]))

	w.signal(syscall.SIGTERM)
	old := p.beat(me, wire.Key{}, true) // the job was named already, and may be the one that crosses
	crossed := golden(t, "info-extended", 2)
	p.does(peer, crossed, echoed, "hi")
	late := p.beat(me, keyOf(t, crossed), true)
	p.send(peer, transport.Message{old[1]}) // no receipt of this
	again := golden(t, "info-extended", 3)
	p.does(peer, again, echoed, "hi")
	assert.NotEqual(t, old[1], late[1])
	last := p.beat(me, keyOf(t, again), true)
	p.send(peer, transport.Message{last[1]})
	assert.Zero(t, w.endsWithin(soon), "the receipt ends it")
	assert.Empty(t, p.beats)
	assert.Empty(t, p.answers)
}

// It leaves as well when the proxy goes away instead of giving a receipt.
func TestPythonWithoutReceipt(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	p := newPartner(r, 42)
	w := r.python(odd)
	peer := next(t, "a connection", p.peers)
	p.beat(peer.Instance(), wire.Key{}, false)
	job := golden(t, "info-extended", 1)
	p.does(peer, job, echoed, "hi") // by which it knows what the proxy is
	p.beat(peer.Instance(), keyOf(t, job), false)
	w.signal(syscall.SIGTERM)
	p.beat(peer.Instance(), wire.Key{}, true) // the job was named already
	w.alive()
	peer.Close(os.ErrClosed)
	assert.Zero(t, w.endsWithin(soon))
}

// A prime_server proxy, known by a job, is not told of leaving: that would be a
// beat. What still comes is done.
func TestPythonLeavesPrime(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	p := newPartner(r, 0)
	w := r.python(odd)
	peer := next(t, "a connection", p.peers)
	p.beat(peer.Instance(), wire.Key{}, false)
	first := golden(t, "info-prime", 1)
	open := filepath.Join(r.dir, "open")
	p.send(peer, transport.Message{first, []byte(strings.ReplaceAll(wait(open), "\n", "\r\n"))})
	w.says("begun")
	w.signal(syscall.SIGTERM)
	release(t, open)
	p.answered(first, "hi")
	p.does(peer, golden(t, "info-prime", 2), echoed, "hi")
	assert.Zero(t, w.endsWithin(drainLimit))
	assert.Empty(t, p.beats, "a beat of one who leaves")
}

// Messages that are no jobs cost the worker nothing: it is idle again.
func TestPythonRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	p := newPartner(r, 0)
	w := r.python(odd)
	peer := next(t, "a connection", p.peers)
	me := peer.Instance()
	p.beat(me, wire.Key{}, false)
	version := golden(t, "info-extended", 1)
	version[16] = 9
	for _, m := range []transport.Message{{[]byte("short"), []byte(echoed)}, {version, []byte(echoed)}} {
		p.send(peer, m)
		w.says("msg=\"job refused\"")
		p.beat(me, wire.Key{}, false)
	}
	bare := golden(t, "info-prime", 1)
	p.send(peer, transport.Message{bare})
	m := next(t, "an answer", p.answers)
	assert.Contains(t, string(m[1]), "HTTP/1.1 400 ")
	p.beat(me, keyOf(t, bare), false)
	text := golden(t, "info-prime", 2)
	p.send(peer, transport.Message{text, []byte("no request")})
	m = next(t, "an answer", p.answers)
	assert.Contains(t, string(m[1]), "HTTP/1.1 400 ")
	p.beat(me, keyOf(t, text), false)
	job := golden(t, "info-prime", 3)
	p.does(peer, job, echoed, "hi")
	p.beat(me, keyOf(t, job), false)
}
