package transport

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func prefixes(ps ...string) Options {
	o := Options{Socket: Sub}
	for _, p := range ps {
		o.Subscribe = append(o.Subscribe, []byte(p))
	}
	return o
}

// subscribed waits until a peer's prefixes have arrived.
func subscribed(t *testing.T, p *Peer, n int) {
	t.Helper()
	eventually(t, func() bool {
		p.subs.mu.RLock()
		defer p.subs.mu.RUnlock()
		return len(p.subs.prefixes) == n
	}, "the subscriptions arrive")
}

func TestPublishGoesToSubscribers(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		ups := record(t)
		l, run := r.listen(Options{Socket: Pub}, ups)
		all, some := record(t), record(t)
		r.dial(prefixes(""), all)
		subscribed(t, await(t, ups.up), 1)
		r.dial(prefixes("a", "bc"), some)
		p := await(t, ups.up)
		subscribed(t, p, 2)
		require.ErrorIs(t, p.Send(msg("x"), nil), ErrNotSender)

		l.Publish(nil)
		for _, s := range []string{"a1", "b2", "bc3", "", "c4", "a5"} {
			l.Publish(msg(s, "body"))
		}
		for _, s := range []string{"a1", "b2", "bc3", "", "c4", "a5"} {
			assert.Equal(t, msg(s, "body"), all.message())
		}
		for _, s := range []string{"a1", "bc3", "a5"} {
			assert.Equal(t, msg(s, "body"), some.message())
		}
		assert.Zero(t, l.Dropped())

		// Subscriptions are sent again on every connection.
		run.stop(t)
		l, _ = r.listen(Options{Socket: Pub}, ups)
		for range 2 {
			p := await(t, ups.up)
			eventually(t, func() bool { return p.subs.match([]byte("a")) }, "the subscriptions arrive again")
		}
		l.Publish(msg("again"))
		assert.Equal(t, msg("again"), all.message())
		assert.Equal(t, msg("again"), some.message())
	})
}

func TestPublishToPassesByWhoAskedForMore(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		ups := record(t)
		l, _ := r.listen(Options{Socket: Pub}, ups)
		all, both := record(t), record(t)
		r.dial(prefixes(""), all)
		subscribed(t, await(t, ups.up), 1)
		r.dial(prefixes("", "ab"), both)
		subscribed(t, await(t, ups.up), 2)

		l.PublishTo([]byte("ab"), msg("abc"))
		l.PublishTo([]byte("a"), msg("a nobody"))
		l.Publish(msg("ab all"))
		assert.Equal(t, msg("abc"), both.message())
		assert.Equal(t, msg("ab all"), both.message(), "once, however many prefixes match")
		assert.Equal(t, msg("ab all"), all.message())
	})
}

func TestSubscribersMayListen(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		got := record(t)
		r.listen(prefixes("a"), got)
		conn := r.shaken(Pub)
		await(t, got.up)
		head := make([]byte, 4)
		_, err := io.ReadFull(conn, head)
		require.NoError(t, err)
		assert.Equal(t, []byte{0, 2, subscribe, 'a'}, head)
		_, err = conn.Write([]byte{0, 1, 'a'})
		require.NoError(t, err)
		assert.Equal(t, msg("a"), got.message())
	})
}

func TestUnsubscribeAndNonsense(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		ups := record(t)
		r.listen(Options{Socket: Pub}, ups)
		conn := r.shaken(Sub)
		p := await(t, ups.up)
		for _, frame := range []string{"\x00\x02\x01a", "\x00\x02\x01a", "\x00\x02\x01b", "\x00\x00", "\x00\x01\x07", "\x01\x01\x01\x00\x00", "\x00\x02\x00a", "\x00\x02\x00z"} {
			_, err := conn.Write([]byte(frame))
			require.NoError(t, err)
		}
		eventually(t, func() bool { return p.subs.match([]byte("b1")) && !p.subs.match([]byte("a1")) }, "a is unsubscribed")
		assert.Empty(t, ups.got, "subscriptions are the transport's")
	})
}

func TestSubscriptionsAreBounded(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		ups := record(t)
		r.listen(Options{Socket: Pub}, ups)
		conn := r.shaken(Sub)
		var many []byte
		for i := range maxSubscriptions + 1 {
			many = append(many, 0, 3, subscribe, byte(i), byte(i>>8))
		}
		_, err := conn.Write(many)
		require.NoError(t, err)
		require.ErrorAs(t, await(t, ups.down).err, new(*LimitError))

		conn = r.shaken(Sub)
		_, err = conn.Write(append(header(0, maxPrefix+2), ("\x01" + strings.Repeat("x", maxPrefix+1))...))
		require.NoError(t, err)
		require.ErrorAs(t, await(t, ups.down).err, new(*LimitError))
	})
}

func TestPublishDropsForFullQueuesOnly(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		ups := record(t)
		l, _ := r.listen(Options{Socket: Pub, Queue: QueueLimits{Bytes: 2 << 20}}, ups)
		jam, fine := record(t), record(t)
		jam.hold = make(chan struct{})
		r.dial(prefixes("jam"), jam)
		subscribed(t, await(t, ups.up), 1)
		r.dial(prefixes(""), fine)
		subscribed(t, await(t, ups.up), 1)
		n := 0
		for ; l.Dropped() == 0; n++ {
			l.Publish(Message{[]byte("jam"), make([]byte, 64<<10)})
			fine.message()
		}
		assert.Equal(t, uint64(1), l.Dropped())
		close(jam.hold)
		for range n - 1 {
			jam.message()
		}
	})
}
