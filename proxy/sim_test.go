package proxy

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	seeds = flag.Int("seeds", 150, "how many worlds TestSimulation goes through")
	seed  = flag.Uint64("seed", 0, "the one world that TestSimulation goes through, with all that happens in it")
)

// TestSimulation runs the real proxy, but for its sockets, in worlds of virtual
// time that a seed decides: fronts, workers of both kinds, connections that
// delay and end, processes that hang and die. After every step the checker looks
// at all of it. A world that fails is replayed by
//
//	go test ./proxy -run TestSimulation$ -seed N -v
func TestSimulation(t *testing.T) {
	if *seed != 0 {
		w := newWorld(*seed, planted{})
		err := w.run()
		t.Log(strings.Join(w.trace, "\n"))
		require.NoError(t, err)
		return
	}
	var sum happened
	for n := range uint64(*seeds) {
		w := newWorld(n+1, planted{})
		if err := w.run(); err != nil {
			t.Fatalf("%v\n%s\nreplay: go test ./proxy -run 'TestSimulation$' -seed %d -v", err, w.tail(40), n+1)
		}
		sum.add(w.happened)
	}
	t.Logf("%+v", sum)
	// A simulation in which nothing happens finds nothing.
	for what, n := range map[string]int{
		"answered": sum.answered, "repeated": sum.repeated, "refused": sum.refused, "late answers": sum.late, "given up": sum.givenUp,
		"taken back": sum.stuck, "cut": sum.cut, "died": sum.died, "unsent": sum.unsent, "maybe held": sum.maybe, "forwarded": sum.forwarded,
	} {
		assert.Positive(t, n, what)
	}
}

// happened counts what the worlds were like.
type happened struct {
	steps, answered, refused, expired, left, late, repeated, givenUp, stuck, cut, died, unsent, maybe, forwarded, excused int
}

func (h *happened) add(o happened) {
	h.steps += o.steps
	h.answered += o.answered
	h.refused += o.refused
	h.expired += o.expired
	h.left += o.left
	h.late += o.late
	h.repeated += o.repeated
	h.givenUp += o.givenUp
	h.stuck += o.stuck
	h.cut += o.cut
	h.died += o.died
	h.unsent += o.unsent
	h.maybe += o.maybe
	h.forwarded += o.forwarded
	h.excused += o.excused
}

// planted is a mistake that a world's proxy makes.
type planted struct {
	repeatsAll    bool // jobs that may not run again do
	attempts      int  // other than the stage says; 0: not
	noTimeout     bool // nothing is taken back
	noBound       bool // the queue takes everything
	losesJobs     bool // what a lost worker held is forgotten
	answersTwice  bool // a job that is repeated is refused, too
	believesBeats bool // every beat of a butterfly slot frees it
	keepsIdle     bool // now and then a beat brings no assignment
	forgetsHeld   bool // the account of held jobs is not kept
	leaksIndex    bool // a cancelled key stays in the index
	sharesMemory  bool // a repeated job's message is made where the last one is
}

// TestSimulationSeesMistakes plants one mistake for each thing that is checked.
func TestSimulationSeesMistakes(t *testing.T) {
	for want, bug := range map[string]planted{
		"ran again though it may not":  {repeatsAll: true},
		"more often than":              {attempts: 200},
		"held for too long":            {noTimeout: true},
		"jobs of fronts are queued":    {noBound: true},
		"nobody has it":                {losesJobs: true},
		"refused, and not ended":       {answersTwice: true},
		"got a second job":             {believesBeats: true},
		"though a slot is idle":        {keepsIdle: true},
		"slots hold jobs, counted are": {forgetsHeld: true},
		"left over at the end":         {leaksIndex: true},
		"another message than was sen": {sharesMemory: true},
	} {
		t.Run(strings.ReplaceAll(want, " ", "_"), func(t *testing.T) {
			t.Parallel()
			var last error
			for n := range uint64(300) {
				if last = newWorld(n+1, bug).run(); last != nil {
					break
				}
			}
			require.Error(t, last, "nobody noticed")
			assert.ErrorContains(t, last, want)
			again := newWorld(seedOf(t, last), bug).run()
			assert.Equal(t, last, again, "the same world fails in the same way")
		})
	}
}

// violation is what the checker found, in which world, and when.
type violation struct {
	seed uint64
	at   time.Duration
	what string
}

func (v *violation) Error() string {
	return fmt.Sprintf("seed %d, %v: %s", v.seed, v.at, v.what)
}

func seedOf(t *testing.T, err error) uint64 {
	t.Helper()
	var v *violation
	require.ErrorAs(t, err, &v)
	return v.seed
}
