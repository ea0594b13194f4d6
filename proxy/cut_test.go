package proxy

import (
	"context"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/relay"
	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// relayed starts a relay before an endpoint.
func relayed(t *testing.T, endpoint string) (*relay.Relay, string) {
	t.Helper()
	to, err := url.Parse(endpoint)
	require.NoError(t, err)
	r, err := relay.New("127.0.0.1:0", to.Host)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
	return r, "tcp://" + r.Addr()
}

// A worker whose connection is reset may live, and say that it has a job which must not
// run twice: its front is left to ask. One whose connection ends has died.
func TestAJobOfAWorkerThatWasCutOffIsLeftToItsFront(t *testing.T) {
	for name, c := range map[string]struct {
		instance uint64 // of the worker
		end      func(*peer, *relay.Relay)
		told     map[uint32]uint16
	}{
		"reset":                  {7, func(_ *peer, r *relay.Relay) { r.Reset() }, map[uint32]uint16{3: 502, 4: 502}},
		"ended":                  {7, func(w *peer, _ *relay.Relay) { w.leave() }, map[uint32]uint16{1: 502, 3: 502, 4: 502}},
		"reset, and cannot tell": {0, func(_ *peer, r *relay.Relay) { r.Reset() }, map[uint32]uint16{1: 502, 3: 502, 4: 502}},
	} {
		t.Run(name, func(t *testing.T) {
			missed := make(chan struct{}, 10)
			r := newRig(t, "tcp", func(c *Config) { c.Lost = func() { missed <- struct{}{} } })
			link, endpoint := relayed(t, r.DownstreamEndpoint())
			front, w := r.front(5), r.dial(endpoint, c.instance)
			for slot := range uint16(4) {
				w.beat(slot, wire.Key{})
			}
			r.eventually(func(s wire.Status) bool { return s.Idle == 4 })
			front.submit(butterflyInfo(1), "must not run twice")
			may := butterflyInfo(2)
			may.Flags |= wire.Repeatable
			front.submit(may, "may run twice")
			front.submit(&wire.Info{ID: 3, Time: 1000, Version: 1}, "a prime_server front's")
			part := butterflyInfo(4)
			part.Hops = 1
			require.True(t, part.SetPiece(&wire.Piece{Total: 2, Group: 1, Join: wire.StageHash("join")}))
			front.submit(part, "a part")
			for range 4 {
				w.job()
			}
			c.end(w, link)
			receive(t, missed)
			told := make(map[uint32]uint16)
			for range c.told {
				a := receive(t, r.answers)
				told[a.Info.ID] = a.Info.Code
			}
			assert.Equal(t, c.told, told)
			r.eventually(func(s wire.Status) bool { return s.Queued == 1 })
			assert.Empty(t, r.answers)
		})
	}
}

// A worker gives up a job that the proxy does not know to be its own any more: the
// front is to find out.
func TestAJobThatIsGivenUpBehindACutIsMissed(t *testing.T) {
	missed := make(chan struct{}, 10)
	r := newRig(t, "tcp", func(c *Config) { c.Lost = func() { missed <- struct{}{} } })
	link, endpoint := relayed(t, r.DownstreamEndpoint())
	front, w := r.front(5), r.dial(endpoint, 7)
	w.beat(0, wire.Key{})
	r.eventually(func(s wire.Status) bool { return s.Idle == 1 })
	key := front.submit(butterflyInfo(1), "x")
	w.job()
	link.Reset()
	receive(t, missed)
	b := wire.Beat{Worker: 7, GivenUp: true, Done: key}
	w.send(nil, b.AppendTo(nil))
	receive(t, missed)
	r.eventually(func(s wire.Status) bool { return s.Idle == 1 })
	assert.Empty(t, r.answers)
}
