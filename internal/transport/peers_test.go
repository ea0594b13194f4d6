//go:build unix

package transport

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/zmqpeer"
)

// The tests in this file talk to libzmq, by testdata/peer.py.

const script = "testdata/peer.py"

// onSockets runs f over what libzmq shares with us.
func onSockets(t *testing.T, f func(t *testing.T, r *rig)) {
	zmqpeer.Python(t)
	for _, scheme := range []string{"ipc", "tcp"} {
		t.Run(scheme, func(t *testing.T) { f(t, newRig(t, scheme)) })
	}
}

// connecting starts a peer that connects to the rig's listener.
func (r *rig) connecting(kind string, what ...string) *zmqpeer.Process {
	r.t.Helper()
	p := zmqpeer.Start(r.t, script, append([]string{kind, "connect", r.endpoint}, what...)...)
	p.Expect("ready")
	return p
}

// binding starts a peer that binds; the rig's endpoint becomes its real one.
func (r *rig) binding(kind string, what ...string) *zmqpeer.Process {
	r.t.Helper()
	p := zmqpeer.Start(r.t, script, append([]string{kind, "bind", r.endpoint}, what...)...)
	r.endpoint = p.Expect("ready")
	return p
}

// shapes are messages that an echo has to return unchanged.
func shapes() []Message {
	return []Message{
		msg("one"), msg("", "a", ""), msg("info", "body"), {make([]byte, 255), make([]byte, 256)},
		{[]byte("large"), bytes.Repeat([]byte("0123456789abcdef"), 10<<20/16)},
	}
}

// echoed sends the shapes and wants them back.
func echoed(t *testing.T, send func(Message, Notifier) error, h *recorder) {
	t.Helper()
	for _, m := range shapes() {
		require.NoError(t, send(m, nil))
	}
	for _, want := range shapes() {
		got := h.message()
		require.Len(t, got, len(want))
		for i := range got {
			require.True(t, bytes.Equal(want[i], got[i]))
		}
	}
}

func TestLibzmqRouter(t *testing.T) {
	onSockets(t, func(t *testing.T, r *rig) {
		r.binding("ROUTER", "echo")
		h := record(t)
		d, _ := r.dial(Options{Socket: Dealer, Instance: 42}, h)
		echoed(t, d.Send, h)
		assert.Zero(t, await(t, h.up).Instance())
	})
}

func TestLibzmqDealer(t *testing.T) {
	onSockets(t, func(t *testing.T, r *rig) {
		h := record(t)
		r.listen(Options{Socket: Router, Instance: 42}, h)
		r.connecting("DEALER", "echo")
		echoed(t, await(t, h.up).Send, h)
	})
}

const numbered = 5000

// numberedMessage is what peer.py sends and counts.
func numberedMessage(i int) Message {
	return Message{binary.LittleEndian.AppendUint32(nil, uint32(i)), bytes.Repeat([]byte("x"), i%300)}
}

func TestLibzmqPush(t *testing.T) {
	onSockets(t, func(t *testing.T, r *rig) {
		h := record(t)
		r.listen(Options{Socket: Pull}, h)
		r.connecting("PUSH", "send", strconv.Itoa(numbered))
		for i := range numbered {
			require.Equal(t, numberedMessage(i), h.message())
		}
	})
}

func TestLibzmqPull(t *testing.T) {
	onSockets(t, func(t *testing.T, r *rig) {
		peer := r.binding("PULL", "count", strconv.Itoa(numbered))
		d, _ := r.dial(Options{Socket: Push}, nil)
		for i := range numbered {
			require.NoError(t, d.Send(numberedMessage(i), nil))
		}
		peer.Expect("done")
	})
}

func TestLibzmqPub(t *testing.T) {
	onSockets(t, func(t *testing.T, r *rig) {
		r.binding("PUB", "publish")
		h := record(t)
		r.dial(prefixes("b"), h)
		for range 5 {
			assert.Equal(t, msg("b", "asked for"), h.message())
		}
	})
}

func TestLibzmqSub(t *testing.T) {
	onSockets(t, func(t *testing.T, r *rig) {
		h := record(t)
		l, _ := r.listen(Options{Socket: Pub}, h)
		peer := r.connecting("SUB", "print", "subscribe=b")
		subscribed(t, await(t, h.up), 1)
		l.Publish(msg("a", "not", "this"))
		l.Publish(msg("b", "but", "this"))
		assert.Equal(t, "b but this", peer.Line())
	})
}

// calm waits for longer than any timeout of the test and wants no peer lost.
func calm(t *testing.T, h *recorder) {
	t.Helper()
	select {
	case end := <-h.down:
		require.NoError(t, end.err, "the peer was lost")
	case <-time.After(1500 * time.Millisecond):
	}
}

func TestLibzmqHeartbeats(t *testing.T) {
	theirs := []string{"heartbeat_ivl=200", "heartbeat_timeout=1000", "heartbeat_ttl=1000"}
	quick := Options{Heartbeat: 200 * time.Millisecond, PeerTimeout: time.Second}
	off := Options{Heartbeat: -1}
	for name, c := range map[string]struct {
		ours   Options
		theirs []string
	}{
		"theirs": {off, theirs},
		"ours":   {quick, nil},
		"both":   {quick, theirs},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onSockets(t, func(t *testing.T, r *rig) {
				h := record(t)
				o := c.ours
				o.Socket = Router
				r.listen(o, h)
				r.connecting("DEALER", append([]string{"echo"}, c.theirs...)...)
				p := await(t, h.up)
				calm(t, h)
				echoed(t, p.Send, h)
			})
		})
	}
}

func TestStoppedPeerIsLostAndDelaysNobody(t *testing.T) {
	onSockets(t, func(t *testing.T, r *rig) {
		h := record(t)
		r.listen(Options{
			Socket: Router, Heartbeat: 500 * time.Millisecond, PeerTimeout: 2 * time.Second,
			Queue: QueueLimits{Bytes: 32 << 20},
		}, h)
		stopped := r.connecting("DEALER", "echo")
		bad := await(t, h.up)
		r.connecting("DEALER", "echo")
		good := await(t, h.up)
		stopped.Pause()
		_, n := stuck(t, bad.Send)
		assert.Positive(t, n)
		echoed(t, good.Send, h)
		end := await(t, h.down)
		assert.Equal(t, bad, end.peer)
		require.ErrorAs(t, end.err, new(*TimeoutError))
		stopped.Resume()
		await(t, h.up) // libzmq connects again by itself
	})
}

func TestKilledPeerIsFoundAgain(t *testing.T) {
	onSockets(t, func(t *testing.T, r *rig) {
		first := r.binding("ROUTER", "echo")
		h := record(t)
		d, _ := r.dial(Options{Socket: Dealer}, h)
		echoed(t, d.Send, h)
		first.Kill()
		await(t, h.down)
		require.NoError(t, d.Send(msg("meanwhile"), nil))
		r.binding("ROUTER", "echo")
		assert.Equal(t, msg("meanwhile"), h.message())
		echoed(t, d.Send, h)
	})
}
