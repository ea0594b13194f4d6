package proxy

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/stretchr/testify/require"
)

func onEach(t *testing.T, f func(t *testing.T, scheme string)) {
	for _, scheme := range []string{"inproc", "ipc", "tcp"} {
		t.Run(scheme, func(t *testing.T) { f(t, scheme) })
	}
}

func TestProxySlotsOfOneConnection(t *testing.T) {
	onEach(t, func(t *testing.T, scheme string) {
		r := newRig(t, scheme, nil)
		front, worker := r.front(5), r.worker(7)
		worker.beat(3, wire.Key{})
		r.eventually(func(s wire.Status) bool { return s.Idle == 1 })
		worker.beat(0, wire.Key{})
		r.eventually(func(s wire.Status) bool { return s.Idle == 2 && s.Workers == 1 && !s.Prime })

		first := front.submit(butterflyInfo(1), "a", "", "b")
		front.submit(butterflyInfo(2), "second")
		front.submit(butterflyInfo(3), "third")
		info, payload := worker.job()
		require.Equal(t, first, info.Key())
		require.EqualValues(t, 3, info.Slot, "the slot that has been idle longest")
		require.EqualValues(t, 1, info.Hops)
		require.Equal(t, [][]byte{[]byte("a"), {}, []byte("b")}, payload)
		info, _ = worker.job()
		require.EqualValues(t, 0, info.Slot)

		worker.beat(3, wire.Key{ID: 77}) // stale: it changes nothing
		worker.beat(3, first)
		info, _ = worker.job()
		require.EqualValues(t, 3, info.ID)
		require.EqualValues(t, 3, info.Slot)
		require.Empty(t, worker.got)
	})
}

// TestProxyWithdrawal: the receipt comes back once no job can be on its way.
func TestProxyWithdrawal(t *testing.T) {
	r := newRig(t, "inproc", nil)
	front, worker := r.front(5), r.worker(7)
	withdraw := func(slot uint16, done wire.Key) []byte {
		b := wire.Beat{Slot: slot, Worker: 7, Done: done, Withdraw: true}
		frame := b.AppendTo(nil)
		worker.send([]byte("app"), frame)
		return frame
	}
	frame := withdraw(9, wire.Key{})
	require.Equal(t, transport.Message{frame}, receive(t, worker.got), "a slot that never beat")

	worker.beat(2, wire.Key{})
	key := front.submit(butterflyInfo(1), "x")
	worker.job()
	withdraw(2, wire.Key{ID: 3}) // it crossed the job: no receipt
	frame = withdraw(2, key)
	require.Equal(t, transport.Message{frame}, receive(t, worker.got))
	front.submit(butterflyInfo(2), "y")
	r.eventually(func(s wire.Status) bool { return s.Queued == 1 && s.Slots == 0 && s.Workers == 1 })
	worker.beat(2, key)
	info, _ := worker.job()
	require.EqualValues(t, 2, info.ID, "it may come back")
}

func TestProxyPrimeWorker(t *testing.T) {
	onEach(t, func(t *testing.T, scheme string) {
		r := newRig(t, scheme, nil)
		front, worker := r.front(0), r.worker(0)
		worker.send([]byte{})
		info := &wire.Info{ID: 8, Time: 9, Version: 1, KeepAlive: true}
		front.submit(info, "GET / HTTP/1.1\r\n\r\n")
		got, payload := worker.job()
		require.Len(t, payload, 1)
		require.True(t, got.KeepAlive)
		require.Equal(t, wire.Key{ID: 8, Time: 9}, got.Key())
		require.EqualValues(t, 1, got.Hops, "its stages are counted as well")
		require.True(t, r.Status().Prime)
		worker.send([]byte{})
		front.submit(info, "again")
		_, payload = worker.job()
		require.Equal(t, "again", string(payload[0]))
	})
}

func TestProxyForeignBytes(t *testing.T) {
	r := newRig(t, "inproc", nil)
	front, prime, modern := r.front(0), r.worker(0), r.worker(7)
	frame := append((&wire.Info{ID: 8, Time: 9, Version: 1}).AppendTo(nil), "foreign"...)
	prime.send([]byte{})
	front.send(frame, []byte("x"))
	require.Equal(t, frame, receive(t, prime.got)[0], "handed on whole")
	modern.beat(4, wire.Key{})
	front.send(frame, []byte("x"))
	info, _ := modern.job()
	require.EqualValues(t, 4, info.Slot, "a butterfly worker's slot is named")
	require.Equal(t, wire.Key{ID: 8, Time: 9}, info.Key())
	info.Restore()
	require.Equal(t, frame, info.AppendTo(nil), "and the frame can be restored")

	modern.beat(4, info.Key())
	long := append(frame[:12:12], strings.Repeat("x", 300)...)
	front.send(long, []byte("x"))
	r.expectAnswer(8, 400)
	prime.send([]byte{})
	r.eventually(func(s wire.Status) bool { return s.Idle == 2 })
	front.send(frame, []byte("x")) // to the one that is idle for longest
	modern.job()
	front.send(long, []byte("x"))
	require.Equal(t, long, receive(t, prime.got)[0])
}

// Who asks with HEAD is known to later stages, too, whatever the front is.
func TestProxyNotesHeadRequests(t *testing.T) {
	r := newRig(t, "inproc", nil)
	front, worker := r.front(0), r.worker(7)
	for text, head := range map[string]bool{"HEAD / HTTP/1.1\r\n\r\n": true, "GET / HTTP/1.1\r\n\r\n": false, "": false} {
		worker.beat(1, wire.Key{ID: 8, Time: 9})
		front.submit(&wire.Info{ID: 8, Time: 9, Version: 1}, text)
		info, _ := worker.job()
		require.Equal(t, head, info.Flags.Has(wire.Head), text)
	}
	worker.beat(1, wire.Key{ID: 8, Time: 9})
	front.submit(butterflyInfo(3), "HEAD is what a stage before called it")
	info, _ := worker.job()
	require.False(t, info.Flags.Has(wire.Head), "a butterfly front says so itself")
}

func TestProxyTellsStatus(t *testing.T) {
	r := newRig(t, "inproc", nil)
	silent, front := r.front(0), r.front(5)
	status := func() wire.Status {
		m := receive(t, front.got)
		require.Len(t, m, 1)
		s, err := wire.ParseStatus(m[0])
		require.NoError(t, err)
		return s
	}
	require.Zero(t, status().Workers, "at once")
	r.worker(7).beat(1, wire.Key{})
	for s := status(); s.Idle != 1; s = status() {
	}
	silent.submit(butterflyInfo(1), "x")
	for s := status(); s.Idle != 0; s = status() {
	}
	before := time.Now()
	status()
	status()
	require.Greater(t, time.Since(before), announceInterval/2, "without a change it is told once a second")
	require.Empty(t, silent.got, "who does not announce is told nothing")
}

func TestProxyRefusesMalformedJobs(t *testing.T) {
	r := newRig(t, "inproc", nil)
	front, worker := r.front(5), r.worker(7)
	bad := butterflyInfo(3).AppendTo(nil)
	bad[16] = 9 // a version that nobody knows

	front.send([]byte("short"), []byte("x"))
	front.submit(butterflyInfo(2))
	r.expectAnswer(2, 400)
	front.send(bad, []byte("x"))
	r.expectAnswer(3, 400)

	worker.beat(1, wire.Key{})
	front.submit(butterflyInfo(4), "good")
	info, _ := worker.job()
	require.EqualValues(t, 4, info.ID)
	require.Contains(t, r.logs.String(), "message refused")
	require.Equal(t, 1, strings.Count(r.logs.String(), "message refused"), "at a bounded rate")
}

func TestProxyRefusesMalformedBeats(t *testing.T) {
	r := newRig(t, "inproc", func(c *Config) { c.MaxSlots = 4 })
	front, worker := r.front(5), r.worker(7)
	worker.send([]byte("app"), []byte("no beat"))
	worker.send([]byte("a"), []byte("b"), []byte("c"))
	worker.beat(4, wire.Key{})
	worker.beat(3, wire.Key{})
	front.submit(butterflyInfo(1), "x")
	info, _ := worker.job()
	require.EqualValues(t, 3, info.Slot)
	require.EqualValues(t, 1, r.Status().Slots)
	r.logs.expect(t, "message refused")
}

func TestProxyQueueBound(t *testing.T) {
	r := newRig(t, "inproc", func(c *Config) { c.Balancer.MaxQueue = 1 })
	front := r.front(5)
	front.submit(butterflyInfo(1), "waits")
	front.submit(butterflyInfo(2), "too much")
	r.expectAnswer(2, 503)
	between := butterflyInfo(3)
	between.Hops = 1
	front.submit(between, "between stages")
	r.eventually(func(s wire.Status) bool { return s.Queued == 2 })
}

func TestProxyDeadline(t *testing.T) {
	r := newRig(t, "inproc", nil)
	late := butterflyInfo(1)
	late.SetDeadline(time.Now().Add(-wire.ClockSkew))
	deadline := time.Now()
	skewed := butterflyInfo(2)
	skewed.SetDeadline(deadline)
	waits := butterflyInfo(3)
	waits.SetDeadline(deadline.Add(patience))
	front := r.front(5)
	front.submit(late, "x")
	front.submit(skewed, "y")
	front.submit(waits, "z")
	r.expectAnswer(1, 504)
	r.expectAnswer(2, 504)
	require.GreaterOrEqual(t, time.Since(deadline), wire.ClockSkew, "clocks may differ")
	require.EqualValues(t, 1, r.Status().Queued)
}

func TestProxyInterrupt(t *testing.T) {
	r := newRig(t, "inproc", nil)
	front, worker := r.front(5), r.worker(7)
	gone := front.submit(butterflyInfo(1), "x")
	front.submit(butterflyInfo(2), "y")
	r.eventually(func(s wire.Status) bool { return s.Queued == 2 })
	r.Interrupt(gone)
	worker.beat(0, wire.Key{})
	info, _ := worker.job()
	require.EqualValues(t, 2, info.ID)
	require.Empty(t, r.answers, "nobody waits for an answer")
}

func TestRefusal(t *testing.T) {
	for want, err := range map[int]error{
		503: &QueueFullError{}, 504: ErrExpired, 502: ErrWorkerLost,
		400: &MessageError{"job", ErrClosed}, 500: errors.New("other"),
	} {
		told := RefusalOf(err)
		require.Equal(t, want, told.Status)
		require.NotEmpty(t, told.Reason)
	}
}

// BenchmarkProxy measures a job's way through a proxy over ipc, front and
// worker in the same process included: 64 slots on one connection, of which
// each is free again at once.
func BenchmarkProxy(b *testing.B) {
	const slots = 64
	r := newRig(b, "ipc", nil)
	front, worker := r.front(5), r.worker(7)
	for i := range uint16(slots) {
		worker.beat(i, wire.Key{})
	}
	r.eventually(func(s wire.Status) bool { return s.Idle == slots })
	info := butterflyInfo(1)
	room := make(chan struct{}, slots)
	go func() {
		for range b.N {
			room <- struct{}{}
			front.submit(info, "x")
		}
	}()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		got, _ := worker.job()
		worker.beat(got.Slot, got.Key())
		<-room
	}
}
