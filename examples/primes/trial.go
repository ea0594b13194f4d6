package primes

import (
	"context"
	"encoding/binary"

	"github.com/butterfly-zmq/butterfly/pipeline"
)

// trial is a trial division under way: number has no divisor from 2 up to
// next, next itself left out.
type trial struct{ number, next uint64 }

// newTrial returns a trial that has not begun.
func newTrial(number uint64) trial { return trial{number, 2} }

// bound is what next has to stay below: the quotient by the divisor before it.
// Were there a divisor from there on, the quotient by it would be a divisor too,
// and have been found before.
func (t trial) bound() uint64 {
	if t.next <= 2 {
		return t.number
	}
	return t.number / (t.next - 1)
}

// advance tries the next divisors, most of them at a time, one division a step.
// When done, prime says what the number is; 0 and 1 count as prime, as with
// prime_server.
func (t *trial) advance(most int) (prime, done bool) {
	number, divisor, high := t.number, t.next, t.bound()
	for ; divisor < high; divisor++ {
		if most == 0 {
			t.next = divisor
			return false, false
		}
		most--
		quotient := number / divisor
		if quotient*divisor == number {
			return false, true
		}
		high = quotient
	}
	return true, true
}

// stepsBetweenLooks is how many divisions are done between two looks at the
// context and the clock: some ten microseconds' worth.
const stepsBetweenLooks = 4096

// IsPrime divides n by 2, 3, 4, … while the divisor is below the quotient, one
// division a step. 0 and 1 count as prime, as with prime_server. The error is
// that of ctx.
func IsPrime(ctx context.Context, n uint64) (bool, error) {
	t := newTrial(n)
	for {
		if prime, done := t.advance(stepsBetweenLooks); done {
			return prime, nil
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
	}
}

// trialSize is the size of a trial as it travels:
//
//	 0        8        16
//	┌────────┬────────┐
//	│ number │  next  │   both uint64, little-endian
//	└────────┴────────┘
//
// number is being tested; next is the divisor to go on with. The quotient that
// bounds the divisors follows from the two, so it does not travel.
const trialSize = 16

// encode renders the trial for the next visit.
func (t trial) encode() []byte {
	b := make([]byte, 0, trialSize)
	b = binary.LittleEndian.AppendUint64(b, t.number)
	return binary.LittleEndian.AppendUint64(b, t.next)
}

// decodeTrial reads a trial as it travels: the 8 bytes of a number, which is
// how one begins, or the state that an earlier visit left. A state that no
// visit leaves is refused with status 400. That no divisor below next divides
// the number is believed: to check it would be the whole work.
func decodeTrial(frames [][]byte) (trial, error) {
	if len(frames) != 1 {
		return trial{}, pipeline.Errorf(400, "a trial division has 1 frame, this has %d", len(frames))
	}
	b := frames[0]
	switch len(b) {
	case 8:
		return newTrial(binary.LittleEndian.Uint64(b)), nil
	case trialSize:
	default:
		return trial{}, pipeline.Errorf(400, "a trial division has 8 bytes to begin with, or %d of an earlier visit: this has %d",
			trialSize, len(b))
	}
	t := trial{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
	if t.next <= 2 || t.next >= t.bound() {
		return trial{}, pipeline.Errorf(400, "a trial division of %d does not go on with divisor %d", t.number, t.next)
	}
	return t, nil
}
