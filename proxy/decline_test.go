package proxy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

func TestDeclinedJobsLeaveTheSlotIdleAndFirst(t *testing.T) {
	b := NewBalancer(BalancerConfig{})
	first, second := b.Join(Prime, nil), b.Join(Prime, nil)
	b.Idle(first, nil, wire.Key{})
	b.Idle(second, nil, wire.Key{})
	bad, good := &loopback.Job{Info: wire.Info{ID: 1}}, &loopback.Job{Info: wire.Info{ID: 2}}
	require.NoError(t, b.Submit(bad))
	require.NoError(t, b.Submit(good))

	a, ok := b.Next(time.Time{})
	require.True(t, ok)
	require.Same(t, bad, a.Job)
	b.Decline(a)
	assert.EqualValues(t, 2, b.Status().Idle)

	a, ok = b.Next(time.Time{})
	require.True(t, ok)
	assert.Same(t, good, a.Job)
	assert.Same(t, first, a.Slot, "it was idle for longest, and still is")
	_, ok = b.Next(time.Time{})
	assert.False(t, ok)
	assert.False(t, b.Quiet())
	assert.Empty(t, b.Leave(second))
	assert.Equal(t, []*loopback.Job{good}, b.Leave(first))
	assert.True(t, b.Quiet())
}
