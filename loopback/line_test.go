package loopback_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// brittle is a connection that breaks once it has carried left bytes.
type brittle struct {
	net.Conn
	left int
}

var errBroken = errors.New("broken")

func (b *brittle) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	if b.left -= n; b.left == 0 {
		_ = b.Conn.Close()
		err = errBroken
	}
	return n, err
}

// fates collects what a Notifier is told.
type fates chan error

func (f fates) Sent(err error) { f <- err }

// next returns what came since, in the bubble's time.
func (f fates) next() (told []error) {
	synctest.Wait()
	for len(f) > 0 {
		told = append(told, <-f)
	}
	return told
}

// site is a front's table and the namespace of its sockets, in a bubble.
type site struct {
	t       *testing.T
	options transport.Options
	table   *loopback.Table
}

func inSynctest(t *testing.T, test func(*testing.T, *site)) {
	synctest.Test(t, func(t *testing.T) {
		table, _ := newTable(t, loopback.TableConfig{})
		s := &site{t, transport.Options{Inproc: transport.NewInproc()}, table}
		s.background(table.Run)
		test(t, s)
	})
}

// background runs f until it is stopped, or the end of the test.
func (s *site) background(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = f(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	s.t.Cleanup(stop)
	return stop
}

// collect starts the front's collector, whose connections carry so many bytes
// each; the last number is for all further ones, and 0 is no limit.
func (s *site) collect(carry ...int) (stop func()) {
	o := s.options
	o.Instance = s.table.Instance()
	o.WrapConn = func(nc net.Conn) net.Conn {
		limit := carry[0]
		if len(carry) > 1 {
			carry = carry[1:]
		}
		if limit == 0 {
			return nc
		}
		return &brittle{nc, limit}
	}
	c, err := loopback.NewCollector("inproc://loopback", o, s.table)
	require.NoError(s.t, err)
	return s.background(c.Run)
}

func (s *site) sender() *loopback.Sender {
	sender, err := loopback.NewSender([]loopback.FrontEndpoint{{Endpoint: "inproc://loopback"}}, s.options)
	require.NoError(s.t, err)
	s.background(sender.Run)
	return sender
}

// large is more than a connection holds: half of it has been written when the
// connection breaks.
var large = strings.Repeat("x", 1<<20)

func TestAnswersThatGetLostAreSentAgain(t *testing.T) {
	for name, waits := range map[string]bool{"at once": false, "after they waited for the front": true} {
		t.Run(name, func(t *testing.T) {
			inSynctest(t, func(t *testing.T, s *site) {
				if !waits {
					s.collect(200<<10, 300<<10, 0)
				}
				sender := s.sender()
				synctest.Wait()
				p := open(t, s.table, loopback.Ask{})
				told := make(fates, 10)
				require.NoError(t, sender.Answer(answer(*p.Info(), large), told))
				if waits {
					assert.Equal(t, []error{transport.ErrWaiting}, told.next(), "told at once, since it may wait for long")
					s.collect(200<<10, 300<<10, 0)
				}
				require.NoError(t, sender.Flush(t.Context()))
				synctest.Wait() // for the front to read what has left
				require.Zero(t, s.table.Len(), "not flushed before it has left")
				a, err := p.Wait()
				require.NoError(t, err)
				assert.Len(t, a.Payload.Frames()[0], len(large))
				if waits {
					assert.Empty(t, told.next(), "nothing more of one that waited")
				} else {
					assert.Equal(t, []error{transport.ErrWaiting}, told.next())
				}
			})
		})
	}
}

// An answer that always costs its connection is given up; those around it arrive.
func TestAnAnswerThatAlwaysGetsLostIsGivenUp(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		s.collect(200 << 10)
		sender := s.sender()
		synctest.Wait()
		poison, fine := open(t, s.table, loopback.Ask{}), open(t, s.table, loopback.Ask{})
		told := make(fates, 10)
		require.NoError(t, sender.Answer(answer(*poison.Info(), large), told))
		require.NoError(t, sender.Answer(answer(*fine.Info(), "fine"), nil))
		_, err := fine.Wait()
		require.NoError(t, err)
		require.NoError(t, sender.Flush(t.Context()))
		all := told.next()
		require.Len(t, all, 2)
		assert.ErrorIs(t, all[0], transport.ErrWaiting)
		assert.Error(t, all[1])
		assert.NotErrorIs(t, all[1], transport.ErrWaiting)
		assert.Equal(t, 1, s.table.Len())
		poison.Fail(nil)
	})
}

func TestWhatWaitsWhenTheSenderEndsIsTold(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		sender, err := loopback.NewSender([]loopback.FrontEndpoint{{Endpoint: "inproc://loopback"}}, s.options)
		require.NoError(t, err)
		stop := s.background(sender.Run)
		told := make(fates, 10)
		require.NoError(t, sender.Answer(answer(wire.Info{}, "x"), told))
		reason := errors.New("no time")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(reason)
		assert.ErrorIs(t, sender.Flush(ctx), reason)
		stop()
		assert.Equal(t, []error{transport.ErrWaiting, transport.ErrClosed}, told.next())
		require.NoError(t, sender.Flush(t.Context()), "nothing is left")
		assert.ErrorIs(t, sender.Answer(answer(wire.Info{}, "x"), told), transport.ErrClosed)
		assert.Empty(t, told.next())
	})
}

// jam is a proxy's upstream socket that carries few bytes.
func (s *site) jam() {
	o := s.options
	o.Socket = transport.Router
	o.WrapConn = func(nc net.Conn) net.Conn { return &brittle{nc, 200 << 10} }
	l, err := transport.Listen("inproc://up", o, nil)
	require.NoError(s.t, err)
	s.background(l.Run)
}

// A job that waited for the proxy and then gets lost is no less lost than
// another one: its client hears of it.
func TestAJobThatWaitedAndGotLostIsTold(t *testing.T) {
	t.Run("a front's", func(t *testing.T) {
		inSynctest(t, func(t *testing.T, s *site) {
			stage, err := loopback.NewRemote("inproc://up", s.options, s.table)
			require.NoError(t, err)
			s.background(stage.Run)
			p := open(t, s.table, loopback.Ask{Deadline: time.Now().Add(time.Hour)})
			require.NoError(t, stage.Submit(&loopback.Job{Info: *p.Info(), Payload: wire.Frames{[]byte(large)}}, nil))
			time.Sleep(time.Minute) // virtual
			assert.Equal(t, 1, s.table.Len(), "it has until its deadline")
			s.jam()
			_, err = p.Wait()
			assert.ErrorIs(t, err, loopback.ErrLost)
		})
	})
	t.Run("a worker's", func(t *testing.T) {
		inSynctest(t, func(t *testing.T, s *site) {
			stage, err := loopback.NewRemote("inproc://up", s.options, nil)
			require.NoError(t, err)
			s.background(stage.Run)
			told := make(fates, 10)
			require.NoError(t, stage.Submit(&loopback.Job{Payload: wire.Frames{[]byte(large)}}, told))
			assert.Equal(t, []error{transport.ErrWaiting}, told.next())
			s.jam()
			require.NoError(t, stage.Flush(t.Context()))
			all := told.next()
			require.Len(t, all, 1)
			assert.NotErrorIs(t, all[0], transport.ErrWaiting)
		})
	})
}
