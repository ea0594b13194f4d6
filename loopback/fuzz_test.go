package loopback

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// fuzzedFrames makes messages of bytes: of each frame its length and whether more
// follow, in one byte, then its bytes.
func fuzzedFrames(data []byte) (all []transport.Message) {
	var m transport.Message
	for len(data) > 0 {
		n, more := int(data[0]>>1), data[0]&1 == 1
		n = min(n, len(data)-1)
		m = append(m, data[1:1+n])
		data = data[1+n:]
		if !more || len(data) == 0 {
			all = append(all, m)
			m = nil
		}
	}
	return all
}

func packed(frames ...[]byte) []byte {
	var data []byte
	for i, f := range frames {
		head := byte(len(f) << 1)
		if i < len(frames)-1 {
			head |= 1
		}
		data = append(append(data, head), f...)
	}
	return data
}

// met is a transport.Handler that tells whom it met.
type met chan *transport.Peer

func (m met) PeerUp(p *transport.Peer)                       { m <- p }
func (met) PeerDown(*transport.Peer, error)                  {}
func (met) Receive(_ *transport.Peer, _ []transport.Message) {}

// connected returns a peer that is connected until the test ends: what it is told may
// have it end its connection.
func connected(f *testing.F) *transport.Peer {
	f.Helper()
	o := transport.Options{Inproc: transport.NewInproc(), Instance: 9, Socket: transport.Router}
	l, err := transport.Listen("inproc://peer", o, make(met, 16))
	require.NoError(f, err)
	o.Socket = transport.Dealer
	meets := make(met, 16)
	d, err := transport.NewDialer("inproc://peer", o, meets)
	require.NoError(f, err)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = l.Run(ctx) })
	running.Go(func() { _ = d.Run(ctx) })
	f.Cleanup(func() { stop(); running.Wait() })
	return <-meets
}

// FuzzCollector throws messages at the front's loopback while a request is open.
// Nothing panics, and only what bears the whole key of the request ends it.
func FuzzCollector(f *testing.F) {
	text := []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	forged := wire.Info{ID: 1, Time: 1000}
	forged.Extend()
	forged.Instance = 7
	stream := forged
	stream.Flags |= wire.Stream
	for _, seed := range [][]byte{
		packed(nil), packed([]byte("1234567")), packed([]byte("1234567"), text), packed(make([]byte, 8), text), packed(make([]byte, 12), text),
		packed(forged.AppendTo(nil), text), packed(forged.AppendTo(nil), text, text), packed(forged.AppendTo(nil)[:20], text), packed(stream.AppendTo(nil), text),
	} {
		f.Add(seed)
	}
	peer := connected(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := NewTable(TableConfig{})
		require.NoError(t, err)
		c, err := NewCollector("inproc://x", transport.Options{Inproc: transport.NewInproc()}, table)
		require.NoError(t, err)
		p, err := table.Open(Ask{Deadline: time.Now().Add(time.Hour)})
		require.NoError(t, err)
		c.PeerUp(peer)
		c.Receive(peer, fuzzedFrames(data))
		c.PeerDown(peer, nil)
		select {
		case <-p.Done():
			t.Error("a forged answer was taken: the instance is random")
		default:
		}
		own := *p.Info()
		c.PeerUp(peer)
		c.Receive(peer, []transport.Message{{own.AppendTo(nil), text}})
		a, err := p.Wait()
		require.NoError(t, err)
		assert.Equal(t, text, a.Payload.Frames()[0])
		p.Release()
	})
}

// heard writes down what a Subscriber tells.
type heard struct{ keys int }

func (h *heard) Interrupt(wire.Key)      { h.keys++ }
func (h *heard) Credit(wire.Key, uint64) { h.keys++ }
func (h *heard) Refuse(wire.Key)         { h.keys++ }

// FuzzHeard throws messages at what workers and proxies hear of a front, and at
// what fronts hear of a proxy.
func FuzzHeard(f *testing.F) {
	for _, seed := range [][]byte{
		packed(nil), packed([]byte("1234567")), packed(wire.AppendInterrupt(nil, wire.Key{ID: 1, Time: 2, Instance: 3})), packed(make([]byte, 8)),
		packed((&wire.Credit{Worker: 1, Granted: 1 << 63}).AppendTo(nil)), packed((&wire.Credit{Worker: 1, Stop: true}).AppendTo(nil)[:10]),
		packed(nil, nil), packed((&wire.Status{Workers: 1 << 31, Draining: true}).AppendTo(nil)),
		packed((&wire.Status{Closing: true}).AppendTo(nil)),
	} {
		f.Add(seed)
	}
	peer := connected(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		o := transport.Options{Inproc: transport.NewInproc(), Instance: 1}
		to := &heard{}
		s, err := NewSubscriber([]string{"inproc://x"}, o, to, nil)
		require.NoError(t, err)
		r, err := NewRemote("inproc://y", o, nil)
		require.NoError(t, err)
		messages := fuzzedFrames(data)
		s.Receive(peer, messages)
		assert.LessOrEqual(t, to.keys, len(messages))
		r.PeerUp(peer)
		r.Receive(peer, messages)
		r.PeerDown(peer, nil)
		assert.False(t, r.State().Connected)
		assert.Zero(t, r.State().Status.Workers, "what it told ends with it")
	})
}
