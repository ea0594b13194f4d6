//go:build linux

package main

import (
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	partMain() // the tests start this program as the parts of their services
	goleak.VerifyTestMain(m)
}

// TestTenTimesTheLoad is the short form of what the command does: the parts are
// processes, and one of the graphs has a cycle. What does not depend on the
// machine's being calm is wanted always. Of the goodput nothing is known if the
// machine is busy, which is told.
func TestTenTimesTheLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	for _, s := range []service{{wait, overIPC}, {sliced, overIPC}, {bodies, overIPC}} {
		t.Run(s.String(), func(t *testing.T) {
			o, err := parse([]string{
				"--settle", "400ms", "--duration", "800ms", "--around", "250ms", "--timeout", "600ms",
				"--pending", "128", "--cost", "10ms", "--slots", "2", "--jobs", "50",
			}, io.Discard)
			require.NoError(t, err)
			r, err := measure(t.Context(), o, s, io.Discard)
			require.NoError(t, err)
			t.Logf("%.0f/s of %.0f and then %.0f/s, sent %.0f/s of %.0f, others took %.0f %%, memory %v", r.Over.GoodPerSecond,
				r.Full.GoodPerSecond, r.Again.GoodPerSecond, float64(r.Over.Requests)/r.Over.Seconds, r.Over.Rate, 100*r.Others, r.Memory)
			if raceEnabled {
				t.Log("memory is not judged: the race detector takes its share")
				r.Memory = nil
			}
			assert.NoError(t, r.holds(s, o))
			if err := r.sound(); err != nil {
				t.Logf("the goodput is not judged: %v", err)
				return
			}
			// So short a time is not many jobs. Where all are let in it is a quarter, or nothing.
			assert.NoError(t, r.enough(0.7))
		})
	}
}
