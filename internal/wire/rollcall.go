package wire

import (
	"encoding/binary"
	"fmt"
	"time"
)

// RollCall is a front's question who holds jobs of its own. It travels on the
// interrupt socket, to subscribers of RollCallPrefix only: others, who subscribe
// to everything, would take it for an interrupt.
//
//	0 mark "\xffBFLR"   5 version=1   6 flags   7 reserved
//	8 front u64         16 number u32           20 window u32, ms
type RollCall struct {
	Front  uint64        // the instance of who asks
	Number uint32        // for claims to name; 0: none is counted, dead jobs are to be found
	Window time.Duration // for how long jobs that arrive are to be claimed, too; whole milliseconds
}

const (
	markRollCall    = "\xffBFLR"
	rollCallVersion = 1
	rollCallSize    = 24
)

// RollCallPrefix is what holders of jobs subscribe to, to hear roll calls.
func RollCallPrefix() []byte { return []byte(markRollCall) }

// IsRollCall tells roll calls from interrupts, which are shorter.
func IsRollCall(b []byte) bool {
	return len(b) >= rollCallSize && string(b[:len(markRollCall)]) == markRollCall
}

// ParseRollCall decodes a frame for which IsRollCall holds. Bytes behind the
// known ones are ignored.
func ParseRollCall(b []byte) (RollCall, error) {
	switch {
	case !IsRollCall(b):
		return RollCall{}, fmt.Errorf("wire: roll call: %d bytes without its mark, or too few", len(b))
	case b[5] != rollCallVersion:
		return RollCall{}, fmt.Errorf("wire: roll call: version %d, this process knows %d", b[5], rollCallVersion)
	}
	le := binary.LittleEndian
	return RollCall{
		Front:  le.Uint64(b[8:]),
		Number: le.Uint32(b[16:]),
		Window: time.Duration(le.Uint32(b[20:])) * time.Millisecond,
	}, nil
}

// AppendTo appends the frame's bytes to dst.
func (r *RollCall) AppendTo(dst []byte) []byte {
	le := binary.LittleEndian
	dst = append(dst, markRollCall...)
	dst = append(dst, rollCallVersion, 0, 0)
	dst = le.AppendUint64(dst, r.Front)
	dst = le.AppendUint32(dst, r.Number)
	return le.AppendUint32(dst, uint32(max(0, r.Window.Milliseconds())))
}
