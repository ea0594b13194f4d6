package queueing

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestTheServiceTimeBeginsWithTheMedianOfSome(t *testing.T) {
	var p Pace
	for i, took := range []time.Duration{time.Second, time.Millisecond, 3 * time.Millisecond, 2 * time.Millisecond} {
		assert.Zero(t, p.Service(), "after %d jobs", i)
		p.learn(took)
	}
	assert.Equal(t, 2*time.Millisecond, p.Service())
	for range 100 {
		p.learn(10 * time.Millisecond)
	}
	assert.InDelta(t, 10, p.Service().Seconds()*1e3, 1)
}
