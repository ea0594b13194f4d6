package cluster_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
)

// answers keeps what comes to a foreign front.
type answers chan transport.Message

func (answers) PeerUp(*transport.Peer)          {}
func (answers) PeerDown(*transport.Peer, error) {}
func (a answers) Receive(_ *transport.Peer, batch []transport.Message) {
	for _, m := range batch {
		a <- m
	}
}

// A front may append to the info frame what it likes: it comes back, behind two
// proxies and two workers of ours, who need the place for themselves meanwhile.
func TestBytesOfAForeignFrontComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := transport.Options{Inproc: transport.NewInproc()}
		pull := o
		pull.Socket = transport.Pull
		got := make(answers, 10)
		l, err := transport.Listen("inproc://loopback", pull, got)
		require.NoError(t, err)
		background(t, l.Run)
		fronts := []loopback.FrontEndpoint{{Endpoint: "inproc://loopback"}}
		for _, s := range upper() {
			p, err := cluster.NewProxy(cluster.ProxyConfig{
				Upstream: "inproc://" + s.Name + ".up", Downstream: "inproc://" + s.Name + ".down",
				Fronts: fronts, Transport: o,
			})
			require.NoError(t, err)
			background(t, p.Run)
			w, err := pipeline.NewWorker(pipeline.WorkerConfig{
				Stage: s.Name, Handler: s.Handler, Slots: 3, Upstream: "inproc://" + s.Name + ".down",
				Next: map[string]string{"shout": "inproc://shout.up"}, Fronts: fronts, Transport: o,
			})
			require.NoError(t, err)
			background(t, w.Run)
		}
		dealer := o
		dealer.Socket = transport.Dealer
		front, err := transport.NewDialer("inproc://cut.up", dealer, nil)
		require.NoError(t, err)
		background(t, func(ctx context.Context) error { return front.Run(ctx) })

		info := append([]byte{7, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0}, "what a foreign front has to say"...)
		for _, request := range []string{"GET /hello HTTP/1.1\r\n\r\n", "malformed"} {
			require.NoError(t, front.Send(transport.Message{info, []byte(request)}, nil))
			m := <-got
			want := bytes.Clone(info)
			code := 200
			if request == "malformed" {
				code = 400
			}
			binary.LittleEndian.PutUint16(want[8:], uint16(1|code<<5))
			assert.Equal(t, want, m[0], request)
		}
	})
}
