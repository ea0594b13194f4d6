package ticks

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestWhatOthersTook(t *testing.T) {
	before := Ticks{all: 1000, busy: 100, ours: 50}
	assert.InDelta(t, 0.25, Others(before, Ticks{all: 1200, busy: 200, ours: 100}), 1e-9)
	assert.Zero(t, Others(before, Ticks{all: 1200, busy: 149, ours: 100}), "ticks are coarse")
	assert.EqualValues(t, Unknown, Others(Ticks{}, Ticks{all: 5}))
	assert.EqualValues(t, Unknown, Others(before, Ticks{}))
	now := Spent(os.Getpid())
	assert.LessOrEqual(t, now.ours, now.busy)
	assert.LessOrEqual(t, now.busy, now.all)
	assert.Zero(t, Spent(-1), "no such process")
}
