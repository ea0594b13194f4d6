package daemon

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/pipeline"
)

// TestLongHandlersEndTheCalm plays seconds of a worker's life, in looks of
// lookEvery each.
func TestLongHandlersEndTheCalm(t *testing.T) {
	type phase struct {
		jobs   uint64        // for each look
		each   time.Duration // spent on one
		oldest time.Duration // running at the look
		looks  int
		calm   bool          // afterwards
		used   time.Duration // processor time for each look beside 10 µs a job
		kept   time.Duration // for how long in each look a handler is not let run
	}
	const second = int(time.Second / lookEvery)
	short := phase{jobs: 400, each: time.Microsecond, looks: 2 * second, calm: true}
	with := func(p phase, change func(*phase)) phase { change(&p); return p }
	tests := map[string][]phase{
		"idle is no calm":          {{looks: 3 * second}},
		"few jobs are no calm":     {{jobs: 1, each: time.Microsecond, looks: 3 * second}},
		"many short jobs":          {short},
		"not before a calm second": {{jobs: 400, each: time.Microsecond, looks: second}},
		"a job that runs for a look": {
			short,
			{oldest: lookEvery, used: lookEvery, looks: 1},
		},
		"a long job is forgiven in a second": {
			short,
			{jobs: 1, each: 3 * time.Millisecond, used: 3 * time.Millisecond, looks: 1, calm: true},
		},
		"two are not": {
			short,
			{jobs: 1, each: 3 * time.Millisecond, used: 3 * time.Millisecond, looks: 2},
		},
		"half a core of short ones": {{jobs: 400, each: 20 * time.Microsecond, looks: 3 * second}},
		"half a core, not let run": {
			{jobs: 1000, each: 4900 * time.Nanosecond, looks: 2 * second, calm: true},
			{jobs: 1000, each: 4900 * time.Nanosecond, kept: 4 * time.Millisecond, looks: 2 * second},
		},
		"silence changes nothing": {short, {looks: 9 * second, calm: true}},
		"a calm second after long jobs": {
			short,
			{oldest: lookEvery, used: lookEvery, looks: 1},
			{jobs: 400, each: time.Microsecond, looks: second - 1},
			{jobs: 400, each: time.Microsecond, looks: 2, calm: true},
		},
		"short handlers are not let run": {
			short,
			with(short, func(p *phase) { p.kept, p.looks = 8*time.Millisecond, second/4 }),
		},
		"nor is one that is running": {
			short,
			with(short, func(p *phase) { p.oldest, p.looks = 2*lookEvery, second/4 }),
		},
		"but not for ever": {
			short,
			{jobs: 400, each: time.Microsecond, oldest: patience, looks: 1},
		},
		"long ones among short ones": {
			short,
			{jobs: 400, each: time.Microsecond, kept: 8 * time.Millisecond, used: 4 * time.Millisecond, looks: 2},
		},
	}
	for name, phases := range tests {
		t.Run(name, func(t *testing.T) {
			var c calm
			var s pipeline.PoolStats
			var used time.Duration
			now := time.Unix(1, 0)
			for i, p := range phases {
				is := false
				for range p.looks {
					now = now.Add(lookEvery)
					s.Jobs += p.jobs
					s.Busy += time.Duration(p.jobs)*p.each + p.kept
					s.Oldest = p.oldest
					used += time.Duration(p.jobs)*10*time.Microsecond + p.used
					is = c.look(now, s, used)
				}
				assert.Equal(t, p.calm, is, "after phase %d", i)
			}
		})
	}
}

// Where the processor time is not known every handler that looks long is.
func TestLongHandlersWithoutProcessorTime(t *testing.T) {
	var c calm
	s := pipeline.PoolStats{}
	now := time.Unix(1, 0)
	for range 300 {
		now = now.Add(lookEvery)
		s.Jobs += 400
		s.Busy += 400 * time.Microsecond
		c.look(now, s, 0)
	}
	require.True(t, c.is)
	for range 2 {
		now = now.Add(lookEvery)
		s.Jobs += 400
		s.Busy += 8 * time.Millisecond
		c.look(now, s, 0)
	}
	assert.False(t, c.is)
}
