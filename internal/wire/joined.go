package wire

import (
	"encoding/binary"
	"errors"
)

// PartState says what became of a part of a scattered job.
type PartState uint8

// The states.
const (
	PartDone    PartState = iota
	PartFailed            // its code and first frame tell why
	PartMissing           // it did not come in time
	partStates            // how many there are
)

// JoinedPart is a part as the joined job has it.
type JoinedPart struct {
	Index   uint32
	State   PartState
	Code    uint16  // HTTP status, where it failed
	Payload Payload // nil where it is missing
}

// Joined is the payload of a job whose parts were joined. It travels as two
// frames: a table, and the bytes of all frames of all parts, one after another.
//
//	0 magic "BFLJ"  4 version=1  5 reserved u8, u16  8 parts u32, then for each
//	0 index u32  4 state u8  5 reserved u8  6 code u16  8 frames u32, then each one's size u32
type Joined []JoinedPart

const (
	magicJoined   = "BFLJ"
	joinedVersion = 1
	joinedHead    = 12
	joinedPart    = 12
)

// Frames implements Payload. The frames are made anew at every call.
func (j Joined) Frames() [][]byte {
	le := binary.LittleEndian
	table := make([]byte, 0, joinedHead+len(j)*(joinedPart+4))
	table = append(table, magicJoined...)
	table = append(table, joinedVersion, 0, 0, 0)
	table = le.AppendUint32(table, uint32(len(j)))
	var all []byte
	for _, p := range j {
		var frames [][]byte
		if p.Payload != nil {
			frames = p.Payload.Frames()
		}
		table = le.AppendUint32(table, p.Index)
		table = append(table, byte(p.State), 0)
		table = le.AppendUint16(table, p.Code)
		table = le.AppendUint32(table, uint32(len(frames)))
		for _, f := range frames {
			table = le.AppendUint32(table, uint32(len(f)))
			all = append(all, f...)
		}
	}
	return [][]byte{table, all}
}

// Size returns how many bytes Frames would make.
func (j Joined) Size() int {
	frames, bytes := 0, 0
	for _, p := range j {
		if p.Payload != nil {
			f := Frames(p.Payload.Frames())
			frames, bytes = frames+len(f), bytes+f.Size()
		}
	}
	return int(JoinedSize(len(j), frames, int64(bytes)))
}

// JoinedSize is the number of bytes of a Joined's frames, given how many parts
// it has, and the frames and bytes of all of them.
func JoinedSize(parts, frames int, bytes int64) int64 {
	return joinedHead + int64(parts)*joinedPart + int64(frames)*4 + bytes
}

// errJoined says why frames are no Joined. What exactly is wrong with them helps
// nobody: a proxy made them, not a person.
var (
	errJoined      = errors.New("wire: the job is not one whose parts were joined")
	errJoinedTable = errors.New("wire: the table of a joined job's parts does not fit its bytes")
)

// ParseJoined decodes the frames of a Joined. The parts' frames are slices of
// the second one.
func ParseJoined(frames [][]byte) (Joined, error) {
	if len(frames) != 2 || len(frames[0]) < joinedHead || string(frames[0][:4]) != magicJoined || frames[0][4] != joinedVersion {
		return nil, errJoined
	}
	le := binary.LittleEndian
	table, all := frames[0][joinedHead:], frames[1]
	count := le.Uint32(frames[0][8:])
	if uint64(count)*joinedPart > uint64(len(table)) {
		return nil, errJoinedTable
	}
	j := make(Joined, 0, count)
	for range count {
		if len(table) < joinedPart {
			return nil, errJoinedTable
		}
		p := JoinedPart{Index: le.Uint32(table), State: PartState(table[4]), Code: le.Uint16(table[6:])}
		sizes := le.Uint32(table[8:])
		table = table[joinedPart:]
		if p.State >= partStates || uint64(sizes)*4 > uint64(len(table)) {
			return nil, errJoinedTable
		}
		var payload Frames
		payload, all = cut(all, table[:4*sizes])
		if payload == nil {
			return nil, errJoinedTable
		}
		if p.State != PartMissing {
			p.Payload = payload
		}
		table = table[4*sizes:]
		j = append(j, p)
	}
	if len(table) > 0 || len(all) > 0 {
		return nil, errJoinedTable
	}
	return j, nil
}

// cut takes frames of the sizes given, u32 each, off b and returns them, not
// nil, and what is left; nil if b is too short.
func cut(b, sizes []byte) (Frames, []byte) {
	frames := make(Frames, 0, len(sizes)/4)
	for ; len(sizes) > 0; sizes = sizes[4:] {
		n := uint64(binary.LittleEndian.Uint32(sizes))
		if n > uint64(len(b)) {
			return nil, nil
		}
		frames = append(frames, b[:n:n])
		b = b[n:]
	}
	return frames, b
}
