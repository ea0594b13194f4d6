package transport

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// inBubble runs f over inproc with a clock of its own.
func inBubble(t *testing.T, f func(t *testing.T, r *rig)) {
	synctest.Test(t, func(t *testing.T) { f(t, newRig(t, "inproc")) })
}

func TestSilentPeerIsDeclaredDead(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		h := record(t)
		r.listen(Options{Socket: Router, Heartbeat: time.Second, PeerTimeout: 3 * time.Second}, h)
		conn := r.shaken(Dealer)
		await(t, h.up)
		start := time.Now()
		var dead *TimeoutError
		require.ErrorAs(t, await(t, h.down).err, &dead)
		assert.True(t, dead.Timeout())
		assert.Equal(t, "nothing heard", dead.What)
		assert.Equal(t, 3*time.Second, time.Since(start))
		closed(t, conn)
	})
}

func TestAnyByteKeepsAPeerAlive(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		h := record(t)
		r.listen(Options{Socket: Router, Heartbeat: time.Second, PeerTimeout: 3 * time.Second}, h)
		conn := r.shaken(Dealer)
		await(t, h.up)
		_, err := conn.Write([]byte{0, 100}) // a frame that comes byte by byte
		require.NoError(t, err)
		for range 50 {
			time.Sleep(2 * time.Second) // the bubble's clock: no test waits for it
			_, err := conn.Write([]byte{'x'})
			require.NoError(t, err)
		}
		assert.Empty(t, h.down)
	})
}

func TestHeartbeatsKeepIdlePeersTogether(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		l, h := record(t), record(t)
		r.listen(Options{Socket: Router}, l)
		// One side beats, the other one does not: its PONGs are enough.
		r.dial(Options{Socket: Dealer, Heartbeat: -1}, h)
		await(t, l.up)
		time.Sleep(time.Hour)
		assert.Empty(t, l.down)
		assert.Empty(t, h.down)
	})
}

func TestPingCarriesTTLAndPongItsContext(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		h := record(t)
		r.listen(Options{Socket: Router, Heartbeat: time.Second, PeerTimeout: 2550 * time.Millisecond}, h)
		conn := r.shaken(Dealer)
		await(t, h.up)
		ping := make([]byte, 9)
		_, err := conn.Read(ping)
		require.NoError(t, err)
		assert.Equal(t, command("PING", []byte{0, 26}), ping)

		_, err = conn.Write(command("PING", []byte("\x00\x05sixteen bytes...and more")))
		require.NoError(t, err)
		pong := make([]byte, 100)
		n, err := conn.Read(pong)
		require.NoError(t, err)
		assert.Equal(t, command("PONG", []byte("sixteen bytes...")), pong[:n])
	})
}

// A Handler that takes its time keeps our reader from reading, and a remote
// peer from being heard. Neither side takes the other for dead.
func TestBusyHandlerIsNotASilentPeer(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		l, h := record(t), record(t)
		l.hold = make(chan struct{})
		r.listen(Options{Socket: Router}, l)
		d, _ := r.dial(Options{Socket: Dealer}, h)
		require.NoError(t, d.Send(msg("long work"), nil))
		time.Sleep(time.Hour)
		assert.Empty(t, l.down)
		assert.Empty(t, h.down)
		close(l.hold)
		assert.Equal(t, msg("long work"), l.message())
	})
}

func TestPeerThatTakesNothingIsDeclaredDead(t *testing.T) {
	for name, heartbeat := range map[string]time.Duration{"with heartbeats": time.Second, "without": -1} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *rig) {
				h := record(t)
				r.listen(Options{Socket: Router, Heartbeat: heartbeat, WriteTimeout: 4 * time.Second}, h)
				conn := r.shaken(Dealer)
				p := await(t, h.up)
				stop := make(chan struct{})
				go func() { // it goes on sending, and reads nothing
					for sleep(stop, 500*time.Millisecond) {
						_, _ = conn.Write([]byte{0, 1, 'x'})
					}
				}()
				defer close(stop)
				v := make(verdicts, 1)
				require.NoError(t, p.Send(Message{make([]byte, 1<<20)}, v))
				start := time.Now()
				var dead *TimeoutError
				require.ErrorAs(t, await(t, h.down).err, &dead)
				assert.Equal(t, "nothing taken", dead.What)
				assert.InDelta(t, 5*time.Second, time.Since(start), float64(time.Second))
				require.ErrorAs(t, await(t, v), &dead)
			})
		})
	}
}

// slow passes a few bytes at a time.
type slow struct{ net.Conn }

func (s slow) Read(p []byte) (int, error) {
	time.Sleep(time.Second)
	return s.Conn.Read(p[:min(len(p), 64<<10)])
}

func TestSlowReaderOfALargeFrameLives(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		h := record(t)
		r.listen(Options{Socket: Pull, WrapConn: func(nc net.Conn) net.Conn { return slow{nc} }}, h)
		d, _ := r.dial(Options{Socket: Push}, nil)
		require.NoError(t, d.Send(Message{make([]byte, 10<<20)}, nil))
		for len(h.got) == 0 && len(h.down) == 0 {
			time.Sleep(time.Second)
		}
		assert.Empty(t, h.down)
	})
}

func TestHandshakeHasADeadline(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.listen(Options{Socket: Router, HandshakeTimeout: 3 * time.Second}, nil)
		silent, started := r.raw(), r.raw()
		_, err := started.Write(greeting()[:40])
		require.NoError(t, err)
		start := time.Now()
		closed(t, silent)
		closed(t, started)
		assert.Equal(t, 3*time.Second, time.Since(start))
		synctest.Wait()
		assert.True(t, r.logs.has("connection refused", os.ErrDeadlineExceeded.Error()))
	})
}

func TestDialerGivesUpASilentListenerAndTriesAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		socket, err := r.space.listen("rig")
		require.NoError(t, err)
		r.dial(Options{Socket: Dealer, HandshakeTimeout: 3 * time.Second}, nil)
		for range 3 {
			conn, err := socket.Accept()
			require.NoError(t, err)
			start := time.Now()
			closed(t, conn)
			assert.Equal(t, 3*time.Second, time.Since(start))
		}
		require.NoError(t, socket.Close())
	})
}

// attempts runs a Dialer for a minute against a listener that serves each
// connection, and returns how often it connected.
func attempts(t *testing.T, r *rig, serve func(net.Conn)) int {
	socket, err := r.space.listen("rig")
	require.NoError(t, err)
	o := Options{Socket: Dealer, Backoff: Backoff{Min: 50 * time.Millisecond, Max: 2 * time.Second}}
	_, run := r.dial(o, nil)
	time.AfterFunc(time.Minute, func() { _ = socket.Close() })
	n := 0
	for {
		conn, err := socket.Accept()
		if err != nil {
			run.stop(t)
			return n
		}
		n++
		serve(conn)
	}
}

func TestReconnectionNeverRunsHot(t *testing.T) {
	t.Run("closed at once", func(t *testing.T) {
		inBubble(t, func(t *testing.T, r *rig) {
			n := attempts(t, r, func(conn net.Conn) { _ = conn.Close() })
			assert.Greater(t, n, 30, "it goes on trying")
			assert.Less(t, n, 80, "and pauses")
		})
	})
	t.Run("closed after the handshake", func(t *testing.T) {
		inBubble(t, func(t *testing.T, r *rig) {
			o := r.options(Options{Socket: Router}).withDefaults()
			n := attempts(t, r, func(conn net.Conn) {
				_, err := shake(conn, &o)
				assert.NoError(t, err)
				_ = conn.Close()
			})
			assert.Greater(t, n, 30)
			assert.Less(t, n, 80)
		})
	})
}

func TestBackoffStartsAgainAfterAConnectionThatLived(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		socket, err := r.space.listen("rig")
		require.NoError(t, err)
		r.dial(Options{Socket: Dealer, Backoff: Backoff{Min: 100 * time.Millisecond, Max: time.Minute}}, nil)
		o := r.options(Options{Socket: Router, Heartbeat: -1}).withDefaults()
		for range 8 {
			conn, err := socket.Accept()
			require.NoError(t, err)
			_ = conn.Close()
		}
		conn, err := socket.Accept()
		require.NoError(t, err)
		_, err = shake(conn, &o)
		require.NoError(t, err)
		stop := make(chan struct{})
		time.AfterFunc(2*time.Minute, func() { close(stop) })
		for sleep(stop, time.Second) { // it must be heard to live
			_, err = conn.Write([]byte{0, 0})
			require.NoError(t, err)
		}
		_ = conn.Close()
		start := time.Now()
		_, err = socket.Accept()
		require.NoError(t, err)
		assert.LessOrEqual(t, time.Since(start), 100*time.Millisecond)
		require.NoError(t, socket.Close())
	})
}

func TestDialerWaitsForItsListener(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		d, _ := r.dial(Options{Socket: Push}, nil)
		require.NoError(t, d.Send(msg("early"), nil))
		time.Sleep(time.Minute)
		got := record(t)
		r.listen(Options{Socket: Pull}, got)
		assert.Equal(t, msg("early"), got.message())
	})
}

func TestBackoffGrowsWithJitter(t *testing.T) {
	b := backoff{Backoff: Backoff{Min: 50 * time.Millisecond, Max: time.Second}}
	for _, full := range []time.Duration{50, 100, 200, 400, 800, 1000, 1000} {
		full *= time.Millisecond
		got := b.next()
		assert.LessOrEqual(t, got, full)
		assert.GreaterOrEqual(t, got, full/2)
	}
	b.reset()
	assert.LessOrEqual(t, b.next(), 50*time.Millisecond)
}

// exhausted fails its Accepts for a while, as without descriptors.
type exhausted struct {
	net.Listener
	failures int
}

func (l *exhausted) Accept() (net.Conn, error) {
	if l.failures > 0 {
		l.failures--
		return nil, errors.New("too many open files")
	}
	return l.Listener.Accept()
}

func TestFailingAcceptsPause(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		h := record(t)
		l, err := Listen(r.endpoint, r.options(Options{Socket: Router}), h)
		require.NoError(t, err)
		l.socket = &exhausted{Listener: l.socket, failures: 12}
		begin := time.Now()
		start(t, l.Run)
		r.dial(Options{Socket: Dealer}, nil)
		await(t, h.up)
		assert.Greater(t, time.Since(begin), 2*time.Second)
		assert.True(t, r.logs.has("accepting connections fails", "too many open files"))
	})
}

func TestLogIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := &logBook{}
		q := &quietLog{logger: book.logger(), message: "m", endpoint: "e"}
		for range 100 {
			q.warn("p", errFault)
		}
		assert.Len(t, book.lines, 1)
		time.Sleep(logInterval)
		q.warn("p", errFault)
		require.Len(t, book.lines, 2)
		assert.Contains(t, book.lines[1], "skipped=99")
	})
}
