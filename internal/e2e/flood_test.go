//go:build linux

package e2e

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// Somebody who reaches a proxy floods it with jobs as if another stage had sent them:
// small ones, large ones, ones of a thousand frames, and groups of parts. What the proxy
// keeps is bounded, it says so, and serves others afterwards.
func TestAFloodOfForwardedJobs(t *testing.T) {
	r := newRig(t, "tcp")
	proxy := r.proxy(ours, echo, "--max-queue-bytes", "32MiB", "--max-forwarded", "50000", "--max-forwarded-bytes", "64MiB", "--metrics", here)
	f := r.front(ours, []stage{echo})

	d, err := transport.NewDialer(r.up(echo), transport.Options{Socket: transport.Dealer, Instance: 0xbad}, nil)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = d.Run(ctx) })
	defer running.Wait()
	defer stop()
	id := uint32(0)
	send := func(count int, piece *wire.Piece, frames ...[]byte) {
		for range count {
			id++
			m := append(transport.Message{info(func(i *wire.Info) {
				i.ID, i.Hops = id, 1
				require.True(t, i.SetPiece(piece))
			})}, frames...)
			err := d.Send(m, nil)
			for ; errors.Is(err, transport.ErrQueueFull); err = d.Send(m, nil) {
				require.NoError(t, d.Flush(ctx))
			}
			require.NoError(t, err)
		}
		require.NoError(t, d.Flush(ctx))
		t.Logf("%d jobs of %d frames: %d MiB", count, len(frames), residentKiB(t, proxy)>>10)
	}
	tiny := make([][]byte, 1000)
	for i := range tiny {
		tiny[i] = []byte{1}
	}
	send(150_000, nil, []byte("x"))
	send(8_000, nil, make([]byte, 64<<10))
	send(5_000, nil, tiny...)
	send(20_000, &wire.Piece{Total: 65536, Group: 1, Join: wire.StageHash("echo"), Opening: true}, nil)
	refused := func() float64 {
		return proxy.measures()[`butterfly_stage_jobs_refused_total{proxy="",reason="flooded",stage="echo"}`]
	}
	eventually(t, "all but a hundred thousand have been refused", func() bool { return refused() >= float64(id)-100_000 })
	t.Logf("%v refused, %d MiB", refused(), residentKiB(t, proxy)>>10)
	assert.Less(t, residentKiB(t, proxy)>>10, 400, "MiB: 96, what envelopes take, and what the garbage collector has not come round to")
	proxy.says("forwarded jobs refused")
	assert.Less(t, proxy.printed("level=WARN"), 60, "lines")

	r.worker(ours, echo, 4)
	ready(t, f)
	serves(t, f.addr, post("sound"), "sound") // when the queue has room again
}
