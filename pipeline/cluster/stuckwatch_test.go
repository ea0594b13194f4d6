package cluster

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// A program is ended once the proxy has named it for long enough without a break.
func TestWhoIsNamedForLongEnoughHangs(t *testing.T) {
	now := time.Unix(1000, 0)
	one := &program{instance: 1, pid: 11}
	two := &program{instance: 2, pid: 12}
	starting := &program{instance: 3}
	w := &stuckWatch{processes: []*program{one, two, starting}, now: func() time.Time { return now }, since: make(map[uint64]time.Time)}
	hanging := func(after time.Duration, named ...uint64) []*program {
		now = now.Add(after)
		return w.hanging(named)
	}
	assert.Empty(t, hanging(0, 1, 3, 99))
	assert.Empty(t, hanging(stuckGrace/2, 1, 2, 3))
	assert.Equal(t, []*program{one}, hanging(stuckGrace/2, 1, 2, 3), "not who has not been named for long, or is not running")
	assert.Equal(t, []*program{one}, hanging(stuckGrace/2, 1), "the second has come back just in time")
	assert.Empty(t, hanging(stuckGrace, 2))
	assert.Equal(t, []*program{two}, hanging(stuckGrace, 2))

	two.instance = 4 // its successor
	assert.Empty(t, hanging(stuckGrace, 2, 4))
	assert.Equal(t, []*program{two}, hanging(stuckGrace, 2, 4))
	assert.Empty(t, hanging(0), "it is away")
	assert.Empty(t, hanging(stuckGrace, 4), "another proxy")
}

func TestAgesVaryByATenth(t *testing.T) {
	least, most := time.Hour, time.Duration(0)
	for range 1000 {
		d := vary(100 * time.Second)
		least, most = min(least, d), max(most, d)
	}
	assert.GreaterOrEqual(t, least, 90*time.Second)
	assert.LessOrEqual(t, most, 110*time.Second)
	assert.Greater(t, most-least, 10*time.Second)
	assert.NotPanics(t, func() { vary(1) })
}

// An instance is a property's text for libzmq, which a zero byte would end.
func TestInstancesOfProgramsHaveNoZeroByte(t *testing.T) {
	for range 10_000 {
		for n := newProgramInstance(); n != 0; n >>= 8 {
			if !assert.NotZero(t, n&0xff) {
				return
			}
		}
	}
}
