package wire

import (
	"encoding/binary"
	"fmt"
)

// What a stream may send unasked, and what its parts count for. Both sides have
// to agree on them: they are part of the protocol.
const (
	// InitialCredit is how much the parts of a stream may cost before the front
	// has granted more. The first part costs nothing.
	InitialCredit = 64 << 10
	// PartOverhead is what a part costs beside its bytes, so that many small
	// ones do not come free. An empty part costs nothing: it asks for the grant
	// to be repeated.
	PartOverhead = 64
	// MaxPart bounds the bytes of a part, in the first one those of the body.
	MaxPart = 32 << 10
)

// PartCost returns what a part of n bytes costs of a stream's credit.
func PartCost(n int) uint64 {
	if n == 0 {
		return 0
	}
	return uint64(n) + PartOverhead
}

// Credit frames travel from a front to the worker that sends a stream, on the
// interrupt socket, to subscribers of CreditPrefix only: others, who subscribe
// to everything, would take them for interrupts.
//
//	0 mark "\xffBFLY"   5 worker u64   13 version=1   14 flags (bit 0: stop)   15 reserved
//	16 id u32           20 time u32    24 instance u64                         32 granted u64
//
// Granted counts from the beginning of the stream, so that one frame makes up
// for a lost one.
type Credit struct {
	Worker  uint64 // whom it is for: the instance that it announced at the loopback, 0: none
	Key     Key    // of the stream's job
	Granted uint64 // what its parts may cost in all
	Stop    bool   // nobody takes the stream's parts
}

const (
	markCredit    = "\xffBFLY"
	creditVersion = 1
	creditSize    = 40
	bitStop       = 1
)

// CreditPrefix is what a worker subscribes to, to hear of the credit of its
// streams; worker as in Credit.
func CreditPrefix(worker uint64) []byte {
	return binary.LittleEndian.AppendUint64([]byte(markCredit), worker)
}

// IsCredit tells credit frames from interrupts.
func IsCredit(b []byte) bool {
	return len(b) >= len(markCredit) && string(b[:len(markCredit)]) == markCredit
}

// CreditError says why a frame is no credit.
type CreditError struct{ Reason string }

func (e *CreditError) Error() string { return "wire: credit frame: " + e.Reason }

// ParseCredit decodes a credit frame. Bytes behind the known ones are ignored.
func ParseCredit(b []byte) (Credit, error) {
	switch {
	case len(b) < creditSize:
		return Credit{}, &CreditError{fmt.Sprintf("%d bytes are too few, want %d", len(b), creditSize)}
	case !IsCredit(b):
		return Credit{}, &CreditError{"it does not start with its mark"}
	case b[13] != creditVersion:
		return Credit{}, &CreditError{fmt.Sprintf("version %d, this process knows %d", b[13], creditVersion)}
	}
	le := binary.LittleEndian
	return Credit{
		Worker:  le.Uint64(b[5:]),
		Stop:    b[14]&bitStop != 0,
		Key:     Key{ID: le.Uint32(b[16:]), Time: le.Uint32(b[20:]), Instance: le.Uint64(b[24:])},
		Granted: le.Uint64(b[32:]),
	}, nil
}

// AppendTo appends the frame's bytes to dst.
func (c *Credit) AppendTo(dst []byte) []byte {
	le := binary.LittleEndian
	var flags byte
	if c.Stop {
		flags = bitStop
	}
	dst = append(dst, markCredit...)
	dst = le.AppendUint64(dst, c.Worker)
	dst = append(dst, creditVersion, flags, 0)
	dst = le.AppendUint32(dst, c.Key.ID)
	dst = le.AppendUint32(dst, c.Key.Time)
	dst = le.AppendUint64(dst, c.Key.Instance)
	return le.AppendUint64(dst, c.Granted)
}
