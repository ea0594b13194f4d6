package wire

import (
	"encoding/binary"
	"fmt"
)

// Interrupt frames name a job that nobody waits for any more: prime_server's
// eight bytes, then the front's instance, which C++ workers do not read.
//
//	0 id u32   4 time u32   8 instance u64 (absent from a prime_server front)
const (
	primeInterrupt = 8
	fullInterrupt  = 16
)

// AppendInterrupt appends the interrupt frame of a job to dst.
func AppendInterrupt(dst []byte, k Key) []byte {
	le := binary.LittleEndian
	dst = le.AppendUint32(dst, k.ID)
	dst = le.AppendUint32(dst, k.Time)
	if k.Instance == 0 {
		return dst
	}
	return le.AppendUint64(dst, k.Instance)
}

// ParseInterrupt decodes an interrupt frame. Bytes behind the known ones are
// ignored.
func ParseInterrupt(b []byte) (Key, error) {
	if len(b) < primeInterrupt {
		return Key{}, fmt.Errorf("wire: interrupt frame: %d bytes are too few, want at least %d", len(b), primeInterrupt)
	}
	le := binary.LittleEndian
	k := Key{ID: le.Uint32(b), Time: le.Uint32(b[4:])}
	if len(b) >= fullInterrupt {
		k.Instance = le.Uint64(b[8:])
	}
	return k, nil
}
