package wire

import (
	"encoding/binary"
	"fmt"
)

// Beat is the second frame of a butterfly worker's 'I am idle'; the first is
// the application's own. A C++ proxy reads the first only.
//
//	0 magic "BFLB"  4 version=1  5 flags (bit 0: withdraw, bit 1: given up, bit 2: tell, bit 3: begun)  6 slot u16
//	8 worker instance u64        16 key done: instance u64, id u32, time u32
//
// With Withdraw the slot says that it is done but takes no more jobs. The
// proxy sends the frame back, alone, once no job can be on its way to the slot.
// With GivenUp the job done has no outcome: it took longer than it may. With Tell
// the worker asks to be told the status of the stage, on this connection. With Begun
// the job is not done: it has begun to be answered in parts.
type Beat struct {
	Slot     uint16
	Worker   uint64 // the worker process's random number of this start
	Done     Key    // the last job that the slot did; zero before the first
	Withdraw bool
	GivenUp  bool
	Tell     bool
	Begun    bool
	flags    uint8 // unknown bits, carried along
}

const (
	magicBeat   = "BFLB"
	beatVersion = 1
	beatSize    = 32
	bitWithdraw = 1
	bitGivenUp  = 2
	bitTell     = 4
	bitBegun    = 8
)

// BeatError says why a frame is no beat.
type BeatError struct{ Reason string }

func (e *BeatError) Error() string { return "wire: beat frame: " + e.Reason }

// ParseBeat decodes a beat's second frame.
func ParseBeat(b []byte) (Beat, error) {
	switch {
	case len(b) < beatSize:
		return Beat{}, &BeatError{fmt.Sprintf("%d bytes are too few, want %d", len(b), beatSize)}
	case string(b[:4]) != magicBeat:
		return Beat{}, &BeatError{"it does not start with " + magicBeat}
	case b[4] != beatVersion:
		return Beat{}, &BeatError{fmt.Sprintf("version %d, this process knows %d", b[4], beatVersion)}
	}
	le := binary.LittleEndian
	return Beat{
		flags:    b[5] &^ (bitWithdraw | bitGivenUp | bitTell | bitBegun),
		Withdraw: b[5]&bitWithdraw != 0,
		GivenUp:  b[5]&bitGivenUp != 0,
		Tell:     b[5]&bitTell != 0,
		Begun:    b[5]&bitBegun != 0,
		Slot:     le.Uint16(b[6:]),
		Worker:   le.Uint64(b[8:]),
		Done:     Key{Instance: le.Uint64(b[16:]), ID: le.Uint32(b[24:]), Time: le.Uint32(b[28:])},
	}, nil
}

// AppendTo appends the frame's bytes to dst.
func (b *Beat) AppendTo(dst []byte) []byte {
	le := binary.LittleEndian
	flags := b.flags
	if b.Withdraw {
		flags |= bitWithdraw
	}
	if b.GivenUp {
		flags |= bitGivenUp
	}
	if b.Tell {
		flags |= bitTell
	}
	if b.Begun {
		flags |= bitBegun
	}
	dst = append(dst, magicBeat...)
	dst = append(dst, beatVersion, flags)
	dst = le.AppendUint16(dst, b.Slot)
	dst = le.AppendUint64(dst, b.Worker)
	dst = le.AppendUint64(dst, b.Done.Instance)
	dst = le.AppendUint32(dst, b.Done.ID)
	return le.AppendUint32(dst, b.Done.Time)
}
