package daemon

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/butterfly-zmq/butterfly/pipeline"
)

// TestCoresFollowTheHandlers plays seconds of a worker's life, in looks of
// coreTick each.
func TestCoresFollowTheHandlers(t *testing.T) {
	type phase struct {
		jobs   uint64        // for each look
		each   time.Duration // spent on one
		oldest time.Duration // running at the look
		looks  int
		one    bool // afterwards
	}
	const second = int(time.Second / coreTick)
	tests := map[string][]phase{
		"idle keeps all":            {{looks: 3 * second}},
		"few jobs keep all":         {{jobs: 1, each: time.Microsecond, looks: 3 * second}},
		"short jobs need one":       {{jobs: 400, each: time.Microsecond, looks: 2 * second, one: true}},
		"not before a calm second":  {{jobs: 400, each: time.Microsecond, looks: second}},
		"a long job running":        {{jobs: 400, each: time.Microsecond, looks: 2 * second, one: true}, {oldest: longJob, looks: 1}},
		"long jobs done":            {{jobs: 400, each: time.Microsecond, looks: 2 * second, one: true}, {jobs: 1, each: 3 * time.Millisecond, looks: 1}},
		"half a core of short ones": {{jobs: 400, each: 20 * time.Microsecond, looks: 3 * second}},
		"silence changes nothing":   {{jobs: 400, each: time.Microsecond, looks: 2 * second, one: true}, {looks: 9 * second, one: true}},
		"a calm second after a long job": {
			{jobs: 400, each: time.Microsecond, looks: 2 * second, one: true},
			{oldest: longJob, looks: 1},
			{jobs: 400, each: time.Microsecond, looks: second - 1},
			{jobs: 400, each: time.Microsecond, looks: 2, one: true},
		},
	}
	for name, phases := range tests {
		t.Run(name, func(t *testing.T) {
			var c cores
			var s pipeline.PoolStats
			now := time.Unix(1, 0)
			for i, p := range phases {
				one := false
				for range p.looks {
					now = now.Add(coreTick)
					s.Jobs += p.jobs
					s.Busy += time.Duration(p.jobs) * p.each
					s.Oldest = p.oldest
					one = c.look(now, s)
				}
				assert.Equal(t, p.one, one, "after phase %d", i)
			}
		})
	}
}
