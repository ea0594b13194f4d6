package pipeline_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline"
)

func TestAnAnswerThatCannotBeDeliveredIsReplacedOnce(t *testing.T) {
	lost := errors.New("connection lost")
	handler := pipeline.HandlerFunc(func(context.Context, *pipeline.Job) (pipeline.Result, error) {
		return pipeline.Text(200, "poison"), nil
	})
	back := &collect{fates: []error{lost, lost, lost}}
	slot := &oneJob{job: &loopback.Job{Payload: wire.Frames{nil}}}
	pool, err := pipeline.NewPool(pipeline.PoolConfig{
		Handler: handler, Slots: 1, Slot: func(int) loopback.Slot { return slot }, Loopback: back,
	})
	require.NoError(t, err)
	require.NoError(t, pool.Run(t.Context()))
	require.Len(t, back.got, 2)
	assert.EqualValues(t, 200, back.got[0].Info.Code)
	assert.EqualValues(t, 502, back.got[1].Info.Code)
}

// An answer for which there is no room, in the wire or in a queue, makes place for
// a short one: the client need not wait for its deadline.
func TestAnAnswerWithoutRoomIsReplaced(t *testing.T) {
	for status, refusal := range map[uint16]error{500: &transport.LimitError{}, 503: &transport.QueueFullError{}} {
		for _, refusals := range []int{1, 2} {
			back := &collect{refuse: slices.Repeat([]error{refusal}, refusals)}
			slot := &oneJob{job: &loopback.Job{Payload: wire.Frames{nil}}}
			pool, err := pipeline.NewPool(pipeline.PoolConfig{
				Handler: pipeline.HandlerFunc(func(context.Context, *pipeline.Job) (pipeline.Result, error) {
					return pipeline.Text(200, "large"), nil
				}),
				Slots: 1, Slot: func(int) loopback.Slot { return slot }, Loopback: back,
			})
			require.NoError(t, err)
			require.NoError(t, pool.Run(t.Context()))
			require.Len(t, back.got, 2-refusals, "once")
			for _, a := range back.got {
				assert.Equal(t, status, a.Info.Code)
			}
		}
	}
}

// A prime_server front gets text that it can write to its client also when the
// answer is not the handler's.
func TestPrimeServerFrontGetsRawTextOfErrors(t *testing.T) {
	info := wire.Info{ID: 7, Close: true}
	head := []byte("HEAD / HTTP/1.0\r\nConnection: Close\r\n\r\n")
	flagged := info
	flagged.Extend()
	flagged.Flags = wire.Head // by the proxy of a stage before
	for name, c := range map[string]struct {
		info wire.Info
		job  []byte
		fail func() error
		lost error
	}{
		"a panic":          {info, head, func() error { panic("before the request was looked at") }, nil},
		"a lost answer":    {info, head, nil, errors.New("connection lost")},
		"in a later stage": {flagged, []byte("any bytes"), func() error { return errors.New("x") }, nil},
	} {
		back := &collect{fates: []error{c.lost}}
		slot := &oneJob{job: &loopback.Job{Info: c.info, Payload: wire.Frames{c.job}}}
		pool, err := pipeline.NewPool(pipeline.PoolConfig{
			Handler: pipeline.HandlerFunc(func(context.Context, *pipeline.Job) (pipeline.Result, error) {
				if c.fail != nil {
					return pipeline.Result{}, c.fail()
				}
				return pipeline.Text(200, "hello"), nil
			}),
			Slots: 1, Slot: func(int) loopback.Slot { return slot }, Loopback: back,
		})
		require.NoError(t, err)
		require.NoError(t, pool.Run(t.Context()))
		text := string(back.got[len(back.got)-1].Payload.Frames()[0])
		assert.Regexp(t, `^HTTP/1\.0 50[02] [^\r]*\r\n(.*\r\n)*Connection: Close\r\n(.*\r\n)*\r\n$`, text, name)
	}
}
