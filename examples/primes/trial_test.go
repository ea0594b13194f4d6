package primes

import (
	"encoding/binary"
	"math/big"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// plain is the loop that the pipeline's first release had, kept as a reference.
func plain(n uint64) bool {
	high := n
	for divisor := uint64(2); divisor < high; divisor++ {
		quotient := n / divisor
		if quotient*divisor == n {
			return false
		}
		high = quotient
	}
	return true
}

// numbers draws all that the slices may meet: small ones, squares and products
// of neighbours, where bounds are met exactly, and large ones.
func numbers() *rapid.Generator[uint64] {
	factor := rapid.Uint64Range(2, 40_000)
	return rapid.OneOf(
		rapid.Uint64Range(0, 200),
		rapid.Uint64Range(0, 1_000_000_000),
		rapid.Map(factor, func(f uint64) uint64 { return f * f }),
		rapid.Map(factor, func(f uint64) uint64 { return f * (f + 1) }),
		rapid.SampledFrom([]uint64{1000000007, 999999937, 99999820000081, 18446744073709551615}),
	)
}

// Wherever a division is cut, and its state sent over the wire, it ends as the
// one that is not cut.
func TestATrialMayBeCutAnywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := numbers().Draw(t, "number")
		steps := rapid.SampledFrom([]int{1, 2, 3, 7, 64, 4096}).Draw(t, "least steps")
		state, visits := newTrial(n), 0
		first, err := decodeTrial([][]byte{binary.LittleEndian.AppendUint64(nil, n)})
		require.NoError(t, err)
		require.Equal(t, state, first, "a number is the first state")
		for {
			before := state.next
			prime, done := state.advance(steps)
			if done {
				require.Equal(t, plain(n), prime)
				require.True(t, n < 2 || new(big.Int).SetUint64(n).ProbablyPrime(0) == prime)
				return
			}
			require.Equal(t, before+uint64(steps), state.next, "one division a step")
			state, err = decodeTrial([][]byte{state.encode()})
			require.NoError(t, err)
			if visits++; visits > 50 { // the first cuts and some large pieces: enough, and quick
				steps = rapid.IntRange(1, 10_000).Draw(t, "steps")
			}
		}
	})
}

func TestTheStateIsTwoLittleEndianNumbers(t *testing.T) {
	assert.Equal(t, []byte("\x61\x40\x7a\x10\xf3\x5a\x00\x00\x02\x10\x00\x00\x00\x00\x00\x00"), trial{100000000000097, 4098}.encode())
}

// FuzzDecodeTrial: what is taken can go on, and is what a visit would have sent.
func FuzzDecodeTrial(f *testing.F) {
	f.Add([]byte("\x61\x40\x7a\x10\xf3\x5a\x00\x00"))
	f.Add(trial{100000000000097, 4098}.encode())
	f.Add(trial{100000000000097, 10_000_001}.encode())
	f.Add(trial{25, 5}.encode())
	f.Add(trial{^uint64(0), 1}.encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		state, err := decodeTrial([][]byte{b})
		if err != nil {
			return
		}
		if len(b) == trialSize {
			require.Equal(t, b, state.encode())
			require.Less(t, state.next, state.bound())
		}
		before := state
		if _, done := state.advance(100); !done {
			require.Equal(t, trial{before.number, before.next + 100}, state)
		}
	})
}
