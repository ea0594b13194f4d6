package pipeline

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/butterfly-zmq/butterfly/internal/wire"
)

type ctxKey struct{}

func TestJobContextIsAContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &jobContext{values: context.WithValue(t.Context(), ctxKey{}, "v"), deadline: time.Now().Add(time.Second)}
		assert.Equal(t, "v", c.Value(ctxKey{}))
		assert.NoError(t, c.Err())
		d, ok := c.Deadline()
		assert.True(t, ok)
		assert.Equal(t, time.Second, time.Until(d))
		<-c.Done()
		assert.Equal(t, context.DeadlineExceeded, c.Err())
		c.end(context.Canceled)
		assert.Equal(t, context.DeadlineExceeded, c.Err(), "the first end counts")
	})
}

func TestJobContextErrReadsTheClock(t *testing.T) {
	c := &jobContext{values: context.Background(), deadline: time.Now().Add(-time.Millisecond)}
	assert.Equal(t, context.DeadlineExceeded, c.Err(), "though nobody asked for Done")
}

func TestJobContextHasChildrenWithoutGoroutines(t *testing.T) {
	c := &jobContext{values: context.Background()}
	before := runtime.NumGoroutine()
	child, cancel := context.WithCancel(c)
	defer cancel()
	stopped := context.AfterFunc(c, func() { t.Error("stopped functions do not run") })
	assert.Equal(t, before, runtime.NumGoroutine())
	assert.True(t, stopped())
	assert.False(t, stopped())
	ran := make(chan struct{})
	context.AfterFunc(c, func() { close(ran) })
	c.end(context.Canceled)
	<-child.Done()
	<-ran
	assert.Equal(t, context.Canceled, child.Err())
	assert.Equal(t, context.Canceled, context.Cause(child))
	late := make(chan struct{})
	context.AfterFunc(c, func() { close(late) })
	<-late
}

func TestHeardForgetsTheOldest(t *testing.T) {
	var h heard
	assert.False(t, h.has(wire.Key{}))
	for i := range uint32(heardSize + 10) {
		h.add(wire.Key{ID: i})
		h.add(wire.Key{ID: i}) // twice is once
	}
	assert.False(t, h.has(wire.Key{ID: 9}))
	assert.True(t, h.has(wire.Key{ID: 10}))
	assert.True(t, h.has(wire.Key{ID: heardSize + 9}))
	assert.Len(t, h.keys, heardSize)
	assert.Len(t, h.ring, heardSize)
}
