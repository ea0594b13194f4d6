package loopback_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// bound starts the sockets that a front binds.
func (s *site) bound() (publisher *loopback.Publisher, stop func()) {
	o := s.options
	o.Instance = s.table.Instance()
	c, err := loopback.NewCollector("inproc://loopback", o, s.table)
	require.NoError(s.t, err)
	p, err := loopback.NewPublisher("inproc://interrupt", o)
	require.NoError(s.t, err)
	c.Grant(p)
	stops := []func(){s.background(c.Run), s.background(p.Run)}
	return p, func() {
		for _, stop := range stops {
			stop()
		}
	}
}

// holder is a process that holds jobs.
type holder struct {
	ears
	claimer *loopback.Claimer
	asked   atomic.Int64

	mu   sync.Mutex // guards held
	held []wire.Key
}

func (s *site) holder() *holder {
	h, sender := s.idleHolder()
	s.background(sender.Run)
	return h
}

// idleHolder is one whose sender does not run yet.
func (s *site) idleHolder() (*holder, *loopback.Sender) {
	sender, err := loopback.NewSender([]loopback.FrontEndpoint{{Endpoint: "inproc://loopback"}}, s.options)
	require.NoError(s.t, err)
	h := &holder{ears: make(ears, 100_000)}
	h.claimer = loopback.NewClaimer(sender, func(_ uint64, add func(wire.Key)) {
		h.asked.Add(1)
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, key := range h.held {
			add(key)
		}
	})
	return h, sender
}

// has gives the holder jobs.
func (h *holder) has(keys ...wire.Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held = append(h.held, keys...)
}

// listen has a holder hear the front's interrupts.
func (s *site) listen(h *holder) (stop func()) {
	sub, err := loopback.NewSubscriber([]string{"inproc://interrupt"}, s.options, h, h.claimer)
	require.NoError(s.t, err)
	return s.background(sub.Run)
}

func (h *holder) heard() (keys []wire.Key) {
	synctest.Wait()
	for len(h.ears) > 0 {
		keys = append(keys, <-h.ears)
	}
	return keys
}

func TestInterruptsThatAHolderMissedAreMadeUpFor(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		publisher, _ := s.bound()
		h := s.holder()
		stop := s.listen(h)
		time.Sleep(time.Second)
		gone, open := open(t, s.table, loopback.Ask{}), open(t, s.table, loopback.Ask{})
		h.has(gone.Info().Key(), open.Info().Key(), wire.Key{Instance: 4711, ID: 1})
		stop()
		publisher.Interrupt(gone.Info().Key())
		gone.Abandon(loopback.ErrGone)
		s.listen(h)
		time.Sleep(time.Second)
		assert.Equal(t, []wire.Key{{Instance: s.table.Instance(), ID: gone.Info().ID, Time: gone.Info().Time}}, h.heard())
	})
}

// It does not matter which of the two connections comes first.
func TestJobsAreClaimedOnceBothConnectionsAreThere(t *testing.T) {
	for _, first := range []string{"interrupt", "loopback"} {
		t.Run(first, func(t *testing.T) {
			inSynctest(t, func(t *testing.T, s *site) {
				o := s.options
				o.Instance = s.table.Instance()
				p, err := loopback.NewPublisher("inproc://interrupt", o)
				require.NoError(t, err)
				c, err := loopback.NewCollector("inproc://loopback", o, s.table)
				require.NoError(t, err)
				c.Grant(p)
				h := s.holder()
				h.has(wire.Key{Instance: s.table.Instance(), ID: 1})
				s.listen(h)
				run := []func(){func() { s.background(p.Run) }, func() { s.background(c.Run) }}
				if first == "loopback" {
					run[0], run[1] = run[1], run[0]
				}
				run[0]()
				time.Sleep(10 * time.Second)
				assert.Empty(t, h.heard())
				run[1]()
				time.Sleep(10 * time.Second)
				assert.Equal(t, h.held, h.heard())
			})
		})
	}
}

func TestAHolderClaimsWhatItHasAndWhatArrives(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		publisher, _ := s.bound()
		h := s.holder()
		s.listen(h)
		time.Sleep(time.Second)
		key := func(id uint32) wire.Key { return wire.Key{Instance: s.table.Instance(), ID: id} }
		h.claimer.Arrived(key(1))
		assert.Empty(t, h.heard(), "nobody wants to know")
		for id := range uint32(3*wire.MaxClaimed/2 + 1) {
			h.has(key(1000 + id))
		}
		publisher.RollCall(1, 500*time.Millisecond)
		assert.Len(t, h.heard(), len(h.held), "claimed by several messages, and all unknown to the front")
		time.Sleep(499 * time.Millisecond)
		h.claimer.Arrived(key(2))
		h.claimer.Arrived(wire.Key{Instance: 4711, ID: 2})
		assert.Equal(t, []wire.Key{key(2)}, h.heard())
		time.Sleep(time.Millisecond)
		h.claimer.Arrived(key(3))
		assert.Empty(t, h.heard(), "the window is closed")
	})
}

// Answers that have not left are held by whoever sends them.
func TestAnswersThatHaveNotLeftAreClaimed(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		h, sender := s.idleHolder()
		s.background(sender.Run)
		info := wire.Info{ID: 5}
		info.Extend()
		info.Instance = s.table.Instance()
		require.NoError(t, sender.Answer(answer(info, "x"), nil))
		o := s.options
		o.Instance, o.Socket = s.table.Instance(), transport.Pull
		got := make(messages, 10)
		h.claimer.RollCall(wire.RollCall{Front: s.table.Instance(), Number: 3})
		l, err := transport.Listen("inproc://loopback", o, got)
		require.NoError(t, err)
		s.background(l.Run)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		require.Len(t, got, 2)
		claim, err := wire.ParseClaim((<-got)[0])
		if err != nil { // the claim is queued behind the answer
			claim, err = wire.ParseClaim((<-got)[0])
		}
		require.NoError(t, err)
		assert.EqualValues(t, 3, claim.Number)
		assert.Equal(t, 1, claim.Len())
	})
}

// messages collects what arrives.
type messages chan transport.Message

func (messages) PeerUp(*transport.Peer)          {}
func (messages) PeerDown(*transport.Peer, error) {}
func (m messages) Receive(_ *transport.Peer, batch []transport.Message) {
	for _, x := range batch {
		m <- x
	}
}

func TestFrontsAndClaimersAreBounded(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		s.bound()
		h := s.holder()
		s.listen(h)
		time.Sleep(time.Second)
		before := h.asked.Load()
		for range 1000 {
			h.claimer.RollCall(wire.RollCall{Front: s.table.Instance()})
		}
		assert.LessOrEqual(t, h.asked.Load()-before, int64(20), "one front has a holder look that often in a second")
		for front := range uint64(1000) {
			h.claimer.RollCall(wire.RollCall{Front: 1 + front, Window: time.Hour})
		}
		assert.LessOrEqual(t, h.asked.Load()-before, int64(84))

		synctest.Wait()
		h.heard()
		o := s.options
		o.Socket = transport.Push
		d, err := transport.NewDialer("inproc://loopback", o, nil)
		require.NoError(t, err)
		s.background(d.Run)
		forged := make([]wire.Key, wire.MaxClaimed)
		for i := range forged {
			forged[i].ID = uint32(i)
		}
		for range 20 {
			require.NoError(t, d.Send(transport.Message{wire.AppendClaim(nil, s.table.Instance(), 0, forged)}, nil))
		}
		require.NoError(t, d.Send(transport.Message{[]byte("BFLC nonsense")}, nil))
		require.NoError(t, d.Flush(t.Context()))
		time.Sleep(time.Millisecond)
		n := len(h.heard())
		assert.Greater(t, n, 8000, "a burst is answered")
		assert.Less(t, n, 9000, "no more than that")
	})
}
