package loopback_test

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// lazy is a connection on which writing takes a while.
type lazy struct{ net.Conn }

func (l lazy) Write(p []byte) (int, error) {
	time.Sleep(20 * time.Millisecond) // the bubble's clock
	return l.Conn.Write(p)
}

// ears collect keys.
type ears chan wire.Key

func (e ears) Interrupt(key wire.Key) { e <- key }

// What a front publishes as its last words is heard if it is flushed.
func TestAFlushedInterruptIsHeard(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		o := s.options
		o.WrapConn = func(nc net.Conn) net.Conn { return lazy{nc} }
		p, err := loopback.NewPublisher("inproc://interrupt", o)
		require.NoError(t, err)
		require.NoError(t, p.Flush(t.Context()), "nobody hears it yet")
		stop := s.background(p.Run)
		heard := make(ears, 100)
		sub, err := loopback.NewSubscriber([]string{"inproc://interrupt"}, s.options, heard, nil)
		require.NoError(t, err)
		s.background(sub.Run)
		time.Sleep(time.Second)
		for id := range uint32(100) {
			p.Interrupt(wire.Key{Instance: 1, ID: id, Time: 1})
		}
		require.NoError(t, p.Flush(t.Context()))
		stop()
		synctest.Wait()
		assert.Len(t, heard, 100)
	})
}
