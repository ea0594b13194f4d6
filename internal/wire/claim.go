package wire

import (
	"encoding/binary"
	"fmt"
	"iter"
)

// Claim is what a worker or proxy answers to a RollCall: it holds these jobs. It
// is one frame, on the connection by which answers travel.
//
//	0 magic "BFLC"   4 version=1   5 flags (bit 0: loss)   6 reserved u16
//	8 front u64      16 number u32           20 count u32, at most MaxClaimed
//	24 … id u32, time u32, of each job
type Claim struct {
	Front  uint64 // whose jobs they are
	Number uint32 // of the latest roll call heard; 0: none
	Loss   bool   // the sender lost a connection by which it sent jobs on
	keys   []byte
}

// MaxClaimed bounds the jobs that one claim names.
const MaxClaimed = 4096

const (
	magicClaim   = "BFLC"
	claimVersion = 1
	claimFixed   = 24
	claimedSize  = 8
	bitLoss      = 1
)

// ClaimError says why a frame is no claim.
type ClaimError struct{ Reason string }

func (e *ClaimError) Error() string { return "wire: claim: " + e.Reason }

// IsClaim reports whether a frame begins as a claim does.
func IsClaim(b []byte) bool {
	return len(b) >= len(magicClaim) && string(b[:len(magicClaim)]) == magicClaim
}

// ParseClaim decodes a claim, which keeps a slice of b. Bytes behind the known
// ones are ignored.
func ParseClaim(b []byte) (Claim, error) {
	switch {
	case len(b) < claimFixed:
		return Claim{}, &ClaimError{fmt.Sprintf("%d bytes are too few, want %d", len(b), claimFixed)}
	case !IsClaim(b):
		return Claim{}, &ClaimError{"it does not start with " + magicClaim}
	case b[4] != claimVersion:
		return Claim{}, &ClaimError{fmt.Sprintf("version %d, this process knows %d", b[4], claimVersion)}
	}
	le := binary.LittleEndian
	n := le.Uint32(b[20:])
	if n > MaxClaimed || len(b) < claimFixed+claimedSize*int(n) {
		return Claim{}, &ClaimError{fmt.Sprintf("it names %d jobs, and has %d bytes", n, len(b))}
	}
	return Claim{Front: le.Uint64(b[8:]), Number: le.Uint32(b[16:]), Loss: b[5]&bitLoss != 0, keys: b[claimFixed:][:claimedSize*n]}, nil
}

// Len returns how many jobs the claim names.
func (c *Claim) Len() int { return len(c.keys) / claimedSize }

// Keys gives the jobs' keys.
func (c *Claim) Keys() iter.Seq[Key] {
	return func(yield func(Key) bool) {
		le := binary.LittleEndian
		for b := c.keys; len(b) > 0; b = b[claimedSize:] {
			if !yield(Key{Instance: c.Front, ID: le.Uint32(b), Time: le.Uint32(b[4:])}) {
				return
			}
		}
	}
}

// AppendClaim appends to dst the claim of up to MaxClaimed jobs of one front.
func AppendClaim(dst []byte, front uint64, number uint32, keys []Key) []byte {
	le := binary.LittleEndian
	dst = append(dst, magicClaim...)
	dst = append(dst, claimVersion, 0, 0, 0)
	dst = le.AppendUint64(dst, front)
	dst = le.AppendUint32(dst, number)
	dst = le.AppendUint32(dst, uint32(len(keys)))
	for _, k := range keys {
		dst = le.AppendUint32(dst, k.ID)
		dst = le.AppendUint32(dst, k.Time)
	}
	return dst
}

// AppendLoss appends to dst the claim by which a worker tells a front that it lost
// a connection by which it sent jobs on: it names none.
func AppendLoss(dst []byte, front uint64) []byte {
	at := len(dst)
	dst = AppendClaim(dst, front, 0, nil)
	dst[at+5] = bitLoss
	return dst
}
