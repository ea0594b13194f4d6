package pipeline_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/proxy"
)

// runBench starts two stages that do nothing and returns a client of the first.
func runBench(b *testing.B) *pipeline.Client {
	b.Helper()
	table, err := loopback.NewTable(loopback.TableConfig{})
	require.NoError(b, err)
	last, first := proxy.NewLocal(proxy.LocalConfig{}), proxy.NewLocal(proxy.LocalConfig{})
	start := func(stage *proxy.Local, next map[string]loopback.Stage, h pipeline.HandlerFunc) {
		pool, err := pipeline.NewPool(pipeline.PoolConfig{
			Handler: h, Slots: 4, Next: next, Loopback: table,
			Slot: func(int) loopback.Slot { return stage.Slot() },
		})
		require.NoError(b, err)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = pool.Run(context.Background())
		}()
		b.Cleanup(func() {
			stage.Close()
			<-done
		})
	}
	start(last, nil, func(context.Context, *pipeline.Job) (pipeline.Result, error) { return pipeline.Text(200, "ok"), nil })
	start(first, map[string]loopback.Stage{"last": last}, func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
		return pipeline.Forward("last", job.Bytes()), nil
	})
	return pipeline.NewClient(table, first)
}
