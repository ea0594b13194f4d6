//go:build linux

package e2e

import (
	"context"
	bigendian "encoding/binary"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/mtls"
	"github.com/butterfly-zmq/butterfly/internal/mtls/mtlstest"
	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// target is a socket that is attacked: where it is, whose, and what its peers are.
type target struct {
	name     string
	endpoint string
	process  *process
	peer     transport.SocketType
	wrong    transport.SocketType // what must not connect there
	messages []transport.Message  // that a peer of the right type must not send
	as       *mtls.Identity       // whose certificate the attacker has, of a kind that may be there; nil: over plain tcp
}

// raw connects below TLS, if there is any.
func (x *target) raw(t *testing.T) net.Conn {
	t.Helper()
	_, address, _ := strings.Cut(x.endpoint, "://")
	c, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// attackTime is how long an attack without an end of its own lasts.
const attackTime = 300 * time.Millisecond

// conn connects and says what a peer of this type says first. What comes is read
// and dropped, unless deaf.
func (x *target) conn(t *testing.T, s transport.SocketType, deaf bool) net.Conn {
	t.Helper()
	c := x.raw(t)
	if x.as != nil {
		secured, err := x.as.Client(t.Context(), c, x.endpoint, "127.0.0.1")
		if err != nil {
			return c // somebody newer has taken its place
		}
		c = secured
		t.Cleanup(func() { _ = c.Close() })
	}
	greeting := make([]byte, 64)
	greeting[0], greeting[9], greeting[10] = 0xff, 0x7f, 3
	copy(greeting[12:], "NULL")
	ready := "\x05READY\x0bSocket-Type\x00\x00\x00" + string(rune(len(s))) + string(s)
	_, _ = c.Write(append(append(greeting, 4, byte(len(ready))), ready...))
	if !deaf {
		go func() { _, _ = io.Copy(io.Discard, c) }()
	}
	return c
}

// flood writes b until the time is over or the connection is closed.
func flood(c net.Conn, b []byte) {
	_ = c.SetDeadline(time.Now().Add(attackTime))
	for {
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

// attacks are what anybody can do who gets to a socket.
var attacks = []struct {
	name string
	do   func(t *testing.T, x *target)
}{
	{"HTTP", func(t *testing.T, x *target) {
		c := x.raw(t)
		_, _ = c.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
		_, _ = io.Copy(io.Discard, c) // until it is closed
		_ = c.Close()
	}},
	{"random bytes", func(t *testing.T, x *target) {
		source := rand.New(rand.NewPCG(1, 2))
		for range 200 {
			c := x.conn(t, x.peer, false)
			b := make([]byte, source.IntN(2000))
			for i := range b {
				b[i] = byte(source.Uint32())
			}
			if len(b) > 0 { // no sound message by chance
				b[0] |= 0x80
			}
			_, _ = c.Write(b)
			_ = c.Close()
		}
	}},
	{"a wrong socket type", func(t *testing.T, x *target) {
		for range 20 {
			_, _ = io.Copy(io.Discard, x.conn(t, x.wrong, true))
		}
	}},
	{"connections that say nothing", func(t *testing.T, x *target) {
		for range 300 {
			x.raw(t)
		}
	}},
	{"a thousand TLS handshakes begun", func(t *testing.T, x *target) {
		for range 1000 {
			_, _ = x.raw(t).Write([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")) // a ClientHello's first bytes
		}
	}},
	{"a thousand peers", func(t *testing.T, x *target) {
		for range 1000 {
			x.conn(t, x.peer, true)
		}
	}},
	{"2^63 bytes announced", func(t *testing.T, x *target) {
		for range 20 {
			c := x.conn(t, x.peer, true)
			_, _ = c.Write(bigendian.BigEndian.AppendUint64([]byte{2}, 1<<63))
			_, _ = io.Copy(io.Discard, c)
		}
	}},
	{"messages begun, large and never ended", func(t *testing.T, x *target) {
		var all sync.WaitGroup
		for range 40 {
			c := x.conn(t, x.peer, false)
			all.Go(func() {
				_, _ = c.Write(bigendian.BigEndian.AppendUint64([]byte{2}, 60<<20))
				_ = c.SetWriteDeadline(time.Now().Add(time.Second))
				_, _ = c.Write(make([]byte, 30<<20))
			})
		}
		all.Wait()
	}},
	{"endless multipart", func(t *testing.T, x *target) {
		for range 4 {
			flood(x.conn(t, x.peer, false), append(bigendian.BigEndian.AppendUint64([]byte{3}, 64<<10), make([]byte, 64<<10)...))
		}
	}},
	{"frames of a byte", func(t *testing.T, x *target) {
		tiny := []byte(strings.Repeat("\x01\x01x\x01\x01y\x00\x01z", 1000)) // three of them: nobody's message
		flood(x.conn(t, x.peer, false), tiny)
	}},
	{"PINGs", func(t *testing.T, x *target) {
		flood(x.conn(t, x.peer, true), []byte(strings.Repeat("\x04\x0b\x04PING\x00\x00abcd", 1000)))
	}},
	{"byte by byte", func(t *testing.T, x *target) {
		var all sync.WaitGroup
		for range 20 {
			c := x.conn(t, x.peer, false)
			all.Go(func() {
				for end := time.Now().Add(attackTime); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
					if _, err := c.Write([]byte{1}); err != nil {
						return
					}
				}
			})
		}
		all.Wait()
	}},
	{"messages that make no sense", func(t *testing.T, x *target) {
		o := transport.Options{Socket: x.peer, Instance: 0xbad, TLS: x.as}
		if x.peer == transport.Sub {
			for range 2 {
				c := x.conn(t, x.peer, true)
				flood(c, []byte("\x00\x05\x01\xff\xff\xff\xff\x00\x05\x07what\x01\x01\x01\x00\x00\x00\x00"))
			}
			return
		}
		d, err := transport.NewDialer(x.endpoint, o, nil)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = d.Run(ctx)
		}()
		for range 500 {
			for _, m := range x.messages {
				require.NoError(t, d.Send(m, nil))
			}
		}
		require.NoError(t, d.Flush(ctx))
		cancel()
		<-done
	}},
}

// info is the frame of a job that no front has sent, changed.
func info(change func(*wire.Info)) []byte {
	i := wire.Info{ID: 7, Time: uint32(time.Now().Unix()), Extended: true}
	i.Instance = 0xbad
	if change != nil {
		change(&i)
	}
	return i.AppendTo(nil)
}

func beatOf(change func(*wire.Beat)) []byte {
	b := wire.Beat{Worker: 0xbad}
	change(&b)
	return b.AppendTo(nil)
}

// senseless are messages that a socket's peers must not send, by the socket.
func senseless() map[string][]transport.Message {
	short, broken := []byte("1234567"), append(info(nil)[:20], 0xff, 0xff)
	text := []byte("POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx")
	many := make(transport.Message, 1000)
	many[0] = short
	return map[string][]transport.Message{
		"upstream": {
			{nil}, {short}, {short, text}, {nil, nil}, {info(nil)}, {broken, text}, many,
			{make([]byte, 300), text}, {info(func(i *wire.Info) { i.Hops = 1 << 30 }), text},
			{info(func(i *wire.Info) { i.Deadline = 1 }), text}, // in 1970
		},
		"downstream": {
			{nil, nil}, {nil, short}, {nil, nil, nil}, many,
			{nil, beatOf(func(b *wire.Beat) { b.Slot = 65535 })},
			{nil, beatOf(func(b *wire.Beat) { b.Withdraw, b.Slot = true, 3 })},
			{nil, beatOf(func(b *wire.Beat) { b.GivenUp, b.Withdraw, b.Done = true, true, wire.Key{ID: 1, Time: 1} })},
		},
		"loopback": {
			{nil}, {short}, {short, text}, {nil, nil}, {info(nil)}, {info(nil), text}, {broken, text}, many, {info(nil), text, text},
		},
	}
}

// prober asks the front for something sound, over and over.
type prober struct {
	stop     chan struct{}
	done     sync.WaitGroup
	answered atomic.Int64
	failed   atomic.Int64
}

func probe(addr string) *prober {
	p := &prober{stop: make(chan struct{})}
	p.done.Go(func() {
		for {
			select {
			case <-p.stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			if a, err := once(addr, post("sound")); err == nil && a.status == 200 && a.body == "sound" {
				p.answered.Add(1)
			} else {
				p.failed.Add(1)
			}
		}
	})
	return p
}

// Whatever peers do at the sockets of front and proxy: sound requests that go
// through the same sockets are answered meanwhile, memory stays within bounds, logs
// do not fill, and nothing is left behind.
//
// Over tls+tcp the attacker has a certificate that may be there: a part that was taken
// over, or has gone wild.
func TestHostilePeers(t *testing.T) {
	t.Run("tcp", func(t *testing.T) {
		withstandsHostilePeers(t, newRig(t, "tcp"), func(string, string) *mtls.Identity { return nil })
	})
	t.Run("tls+tcp", func(t *testing.T) {
		r, ca := secured(t)
		withstandsHostilePeers(t, r, func(endpoint, kind string) *mtls.Identity { return identity(t, ca, endpoint, kind) })
	})
}

// identity has a certificate of a kind of parts, and meets whoever is at an endpoint.
func identity(t *testing.T, ca *mtlstest.Authority, endpoint, kind string) *mtls.Identity {
	t.Helper()
	files := ca.Issue("hostile "+kind, []string{kind + ".example"})
	files.Peers = map[string][]string{endpoint: {"front.example", "proxy.example", "worker.example"}}
	id, err := mtls.New(files, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return id
}

func withstandsHostilePeers(t *testing.T, r *rig, as func(endpoint, kind string) *mtls.Identity) {
	proxy := r.proxy(ours, echo)
	r.worker(ours, echo, 4)
	f := r.front(ours, []stage{echo})
	ready(t, f)
	messages := senseless()
	for _, x := range []*target{
		{"front's loopback", r.loopback(""), f.process, transport.Push, transport.Dealer, messages["loopback"], as(r.loopback(""), "worker")},
		{"front's interrupt", r.interrupt(""), f.process, transport.Sub, transport.Push, nil, as(r.interrupt(""), "worker")},
		{"proxy's upstream", r.up(echo), proxy, transport.Dealer, transport.Pull, messages["upstream"], as(r.up(echo), "front")},
		{"proxy's downstream", r.down(echo), proxy, transport.Dealer, transport.Sub, messages["downstream"], as(r.down(echo), "worker")},
	} {
		t.Run(x.name, func(t *testing.T) {
			if x.as != nil {
				c := x.raw(t)
				_, err := x.as.Client(t.Context(), c, x.endpoint, "127.0.0.1")
				require.NoError(t, err, "the attacker's certificate may be there")
				require.NoError(t, c.Close())
			}
			before := descriptors(t, x.process)
			lines := x.process.printed("level=WARN")
			start := time.Now()
			for _, a := range attacks {
				ok := t.Run(a.name, func(t *testing.T) {
					p := probe(f.addr)
					eventually(t, "a first answer", func() bool { return p.answered.Load() > 0 })
					from := p.answered.Load()
					began := time.Now()
					a.do(t, x)
					took := time.Since(began)
					eventually(t, "an answer after it", func() bool { return p.answered.Load() > from })
					close(p.stop)
					p.done.Wait()
					assert.Zero(t, p.failed.Load(), "sound requests that got no answer")
					rss := residentKiB(t, x.process) >> 10
					t.Logf("%v: %d sound requests answered meanwhile, %d MiB", took.Round(time.Millisecond), p.answered.Load()-from, rss)
					assert.Less(t, rss, 700, "MiB: what is unended, 256 and a message, and what the garbage collector has not come round to")
				})
				require.True(t, ok && x.process.cmd.ProcessState == nil)
				// Parts of ours may still have been on their way when that was counted: two
				// sockets of two each. Every attack opens more, or the thousand do.
				eventually(t, "all connections are gone", func() bool { return descriptors(t, x.process) <= before+8 })
			}
			// One line of a kind every second at most, and there are four kinds.
			warned := x.process.printed("level=WARN") - lines
			assert.LessOrEqual(t, warned, 4*(2+int(time.Since(start).Seconds())), "lines")
			assert.NotZero(t, warned, "and it is said at all")
			t.Logf("%d lines in %v", warned, time.Since(start).Round(time.Second))
			assert.Zero(t, x.process.printed("level=ERROR"))
		})
	}
}

// While an attacker, with a right certificate or with none, begins or ends one TLS
// handshake after the other, an honest peer gets in, and one that was in goes on.
func TestATLSHandshakeFlood(t *testing.T) {
	r, ca := secured(t)
	proxy := r.proxy(ours, echo)
	r.worker(ours, echo, 2)
	f := r.front(ours, []stage{echo})
	ready(t, f)
	x := &target{endpoint: r.up(echo), process: proxy, peer: transport.Dealer, as: identity(t, ca, r.up(echo), "front")}
	flood := func(do func() error) (stop func()) {
		over := make(chan struct{})
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for {
					select {
					case <-over:
						return
					default:
						_ = do()
					}
				}
			})
		}
		return func() { close(over); all.Wait() }
	}
	address := strings.TrimPrefix(x.endpoint, "tls+tcp://")
	kept := make(chan net.Conn, 300)
	keep := func(c net.Conn) {
		for {
			select {
			case kept <- c:
				return
			case old := <-kept:
				_ = old.Close()
			}
		}
	}
	defer func() {
		for close(kept); ; {
			c, any := <-kept
			if !any {
				return
			}
			_ = c.Close()
		}
	}()
	for name, do := range map[string]func(c net.Conn) error{
		"begun and left": func(c net.Conn) error { // the proxy ends the oldest
			keep(c)
			_, err := c.Write([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"))
			return err
		},
		"ended, and closed": func(c net.Conn) error {
			defer c.Close()
			secured, err := x.as.Client(t.Context(), c, x.endpoint, "127.0.0.1")
			if err == nil {
				err = secured.Close()
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := probe(f.addr)
			var floods atomic.Int64
			stop := flood(func() error {
				c, err := net.Dial("tcp", address)
				if err != nil {
					return err
				}
				floods.Add(1)
				return do(c)
			})
			var longest time.Duration
			for range 20 {
				up := make(chan struct{}, 100)
				d, err := transport.NewDialer(x.endpoint, transport.Options{Socket: transport.Dealer, Instance: 1, TLS: x.as}, upOnly(up))
				require.NoError(t, err)
				ctx, end := context.WithCancel(t.Context())
				var running sync.WaitGroup
				began := time.Now()
				running.Go(func() { _ = d.Run(ctx) })
				select {
				case <-up:
				case <-time.After(patience):
					t.Error("an honest peer does not get in")
				}
				longest = max(longest, time.Since(began))
				end()
				running.Wait()
			}
			stop()
			close(p.stop)
			p.done.Wait()
			assert.Zero(t, p.failed.Load(), "sound requests that got no answer")
			assert.NotZero(t, p.answered.Load())
			assert.Less(t, longest, 15*time.Second)
			t.Logf("%d handshakes; of twenty honest peers the last got in after %v; %d sound requests answered", floods.Load(), longest.Round(time.Millisecond), p.answered.Load())
		})
	}
}

// upOnly is told of connections.
type upOnly chan<- struct{}

func (u upOnly) PeerUp(*transport.Peer)                     { u <- struct{}{} }
func (upOnly) PeerDown(*transport.Peer, error)              {}
func (upOnly) Receive(*transport.Peer, []transport.Message) {}
