package daemon

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

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
		calm   bool // afterwards
	}
	const second = int(time.Second / lookEvery)
	tests := map[string][]phase{
		"idle is no calm":           {{looks: 3 * second}},
		"few jobs are no calm":      {{jobs: 1, each: time.Microsecond, looks: 3 * second}},
		"many short jobs":           {{jobs: 400, each: time.Microsecond, looks: 2 * second, calm: true}},
		"not before a calm second":  {{jobs: 400, each: time.Microsecond, looks: second}},
		"a long job running":        {{jobs: 400, each: time.Microsecond, looks: 2 * second, calm: true}, {oldest: longJob, looks: 1}},
		"long jobs done":            {{jobs: 400, each: time.Microsecond, looks: 2 * second, calm: true}, {jobs: 1, each: 3 * time.Millisecond, looks: 1}},
		"half a core of short ones": {{jobs: 400, each: 20 * time.Microsecond, looks: 3 * second}},
		"silence changes nothing":   {{jobs: 400, each: time.Microsecond, looks: 2 * second, calm: true}, {looks: 9 * second, calm: true}},
		"a calm second after a long job": {
			{jobs: 400, each: time.Microsecond, looks: 2 * second, calm: true},
			{oldest: longJob, looks: 1},
			{jobs: 400, each: time.Microsecond, looks: second - 1},
			{jobs: 400, each: time.Microsecond, looks: 2, calm: true},
		},
	}
	for name, phases := range tests {
		t.Run(name, func(t *testing.T) {
			var c calm
			var s pipeline.PoolStats
			now := time.Unix(1, 0)
			for i, p := range phases {
				is := false
				for range p.looks {
					now = now.Add(lookEvery)
					s.Jobs += p.jobs
					s.Busy += time.Duration(p.jobs) * p.each
					s.Oldest = p.oldest
					is = c.look(now, s)
				}
				assert.Equal(t, p.calm, is, "after phase %d", i)
			}
		})
	}
}
