package transport

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// total is what all hold.
func (b *budget) total() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.held
}

// begin sends the beginning of a frame of size bytes: so many of them.
func begin(t *testing.T, conn net.Conn, size uint64, come int) {
	t.Helper()
	go func() { _, _ = conn.Write(append(header(0, size), make([]byte, come)...)) }()
}

// Messages that are begun and not ended are bounded in all, not each alone. Who
// holds the room and does not go on loses his connection; who waits gets through.
func TestUnendedMessagesAreBoundedTogether(t *testing.T) {
	const size, peers = 8 << 20, 40
	inBubble(t, func(t *testing.T, r *rig) {
		h := record(t)
		l, _ := r.listen(Options{Socket: Router, Heartbeat: -1, MaxUnended: 4 * size}, h)
		for range peers {
			conn := r.shaken(Dealer)
			await(t, h.up)
			begin(t, conn, size, size/2)
		}
		good := r.shaken(Dealer)
		await(t, h.up)
		synctest.Wait()
		assert.LessOrEqual(t, l.unended.total(), int64(4*size+size), "of all that came")
		assert.GreaterOrEqual(t, l.unended.total(), int64(3*size), "and that is used")

		// Small messages go on at once.
		start := time.Now()
		_, err := good.Write([]byte{0, 2, 'h', 'i'})
		require.NoError(t, err)
		assert.Equal(t, msg("hi"), h.message())
		assert.Less(t, time.Since(start), budgetTick)

		// A large one waits for those before it, which are given up one by one.
		begin(t, good, size, size)
		assert.Len(t, h.message()[0], size)
		assert.Less(t, time.Since(start), peers*2*patienceForIt)
		var limit *LimitError
		require.ErrorAs(t, await(t, h.down).err, &limit)
		assert.Equal(t, "bytes of unended messages", limit.What)
	})
}

// Sound senders of large messages do one another no harm, however many they are.
func TestSoundSendersShareTheRoom(t *testing.T) {
	const size, peers, each = 3 << 20, 12, 4
	onEach(t, func(t *testing.T, r *rig) {
		h := record(t)
		r.listen(Options{Socket: Pull, MaxUnended: size}, h)
		for range peers {
			d, _ := r.dial(Options{Socket: Push}, nil)
			for range each {
				require.NoError(t, d.Send(Message{[]byte("x"), make([]byte, 200<<10), make([]byte, size)}, nil))
			}
		}
		for range peers * each {
			m := h.message()
			require.Len(t, m, 3)
			require.Len(t, m[2], size)
		}
		assert.Empty(t, h.down)
	})
}

// What is not counted any more is not held: the account is empty when all is quiet.
func TestTheAccountOfUnendedMessagesEnds(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		h := record(t)
		l, _ := r.listen(Options{Socket: Pull}, h)
		d, run := r.dial(Options{Socket: Push}, nil)
		for _, m := range []Message{{make([]byte, 100<<10)}, {make([]byte, 5<<20)}, {nil, make([]byte, 70<<10), make([]byte, 70<<10), []byte("x")}, msg("last")} {
			require.NoError(t, d.Send(m, nil))
			h.message()
		}
		held := l.unended.total
		assert.Zero(t, held())
		conn := r.shaken(Push)
		await(t, h.up)
		await(t, h.up)
		begin(t, conn, 5<<20, 2<<20)
		eventually(t, func() bool { return held() > 1<<20 }, "it is counted")
		require.NoError(t, conn.Close())
		eventually(t, func() bool { return held() == 0 }, "and ends with the connection")
		run.stop(t)
	})
}

// Sockets that only hear subscriptions, or nothing, take nothing large.
func TestWhoReceivesNothingTakesLittle(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		h := record(t)
		r.listen(Options{Socket: Pub}, h)
		conn := r.shaken(Sub)
		await(t, h.up)
		_, err := conn.Write(header(0, maxPrefix+2))
		require.NoError(t, err)
		require.ErrorAs(t, await(t, h.down).err, new(*LimitError))
	})
}
