package queueing

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestRoundsAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r Rounds
		clients := make([]int, 5)
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			c := &clients[rapid.IntRange(0, 4).Draw(t, "client")]
			if *c > 0 && rapid.IntRange(0, 2).Draw(t, "what") == 0 {
				r.Add(*c, -1)
				*c--
			} else {
				*c++
				r.Add(*c, 1)
			}
			n := rapid.IntRange(0, 400).Draw(t, "rounds")
			want := 0
			for _, c := range clients {
				want += min(c, n)
			}
			require.Equal(t, want, r.UpTo(n))
		}
	})
}

func TestRoundsGiveAPeaksMemoryBack(t *testing.T) {
	var r Rounds
	for n := 1; n <= 5000; n++ {
		r.Add(n, 1)
	}
	for n := 5000; n > 0; n-- {
		r.Add(n, -1)
	}
	assert.Nil(t, r.tree)
	r.Add(1, 1)
	assert.Equal(t, 1, r.UpTo(1))
}
