package wire

import (
	"encoding/binary"
	"fmt"
	"time"
)

// ClockSkew is how far apart the clocks of two machines may be: a process that
// did not itself set a deadline acts on it this much later.
const ClockSkew = 500 * time.Millisecond

// Flags of a job.
type Flags uint8

// The flags. Unknown bits are carried along.
const (
	Repeatable Flags = 1 << iota // the job may run more than once
	Head                         // the client asked with HEAD: it wants no body
	Stream                       // the answer is one part of a stream
	StreamEnd                    // the answer is the last part of a stream
	Scattered                    // other parts of the job may be worked on: an answer has to stop them
	Lost                         // the answer says that the job was lost: its front may try again
)

// Has reports whether all of f2 are set.
func (f Flags) Has(f2 Flags) bool { return f&f2 == f2 }

// Ext is butterfly's extension of the info frame: fixed fields first, at fixed
// offsets so that a proxy can write them cheaply, then optional fields.
//
//	12 magic "BFLY"   16 version=1   17 flags   18 attempt   19 priority
//	20 instance u64   28 deadline i64 (Unix µs, 0: none)     36 client u32
//	40 hops u32       44 part u32    48 slot u16             50 reserved u16
//	52 optional fields: tag u8, length u8, value
type Ext struct {
	Flags    Flags
	Attempt  uint8  // how often the job was given to a worker of this stage before
	Priority uint8  // the index of the priority class
	Instance uint64 // the front's random number of this start
	Deadline int64  // Unix microseconds, 0 for none
	Client   uint32 // hash of the client, for fairness between clients
	Hops     uint32 // stages entered so far
	Part     uint32 // number of the part in a stream
	Slot     uint16 // the slot that a proxy chose, of the worker it sends to
	reserved uint16
	fields   []byte
	piece    *Piece // never changed; fields has it, too, where it came with them

	// Way, if not nil, is written in place of the optional fields Visits and
	// Trail. Copies of the frame share it: it must not be changed any more.
	Way *Way
}

// Tag names an optional field of the extension.
type Tag uint8

// The optional fields. Unknown ones are carried along.
const (
	FrontName    Tag = 1 // name of the front, at most MaxFrontName bytes
	RequestID    Tag = 2 // the id of the request where it is not the key, at most MaxRequestID bytes
	TraceContext Tag = 3 // W3C trace context: version, trace-id, parent-id, flags: 26 bytes
	Visits       Tag = 4 // up to 8 pairs (stage hash u32, visits u32), the latest visited last
	Trail        Tag = 5 // up to 8 stage hashes u32, the latest last
	Foreign      Tag = 6 // the bytes of others that the extension stands in the place of, at most MaxForeign
	PieceField   Tag = 7 // which part of a scattered job this is: see Piece
)

// Bounds of optional fields, chosen so that all together fit MaxInfo; but
// Foreign is there alone, and for PieceField Trail is cut short.
const (
	MaxFrontName = 28
	MaxRequestID = 40
	MaxForeign   = MaxInfo - extFixed - 2
)

const (
	magicInfo  = "BFLY"
	extVersion = 1
	extFixed   = 52 // offset of the first optional field in the info frame
)

func hasMagic(b []byte) bool { return len(b) >= 4 && string(b[:4]) == magicInfo }

// parseExt decodes the extension of the whole info frame b, whose magic is known.
func parseExt(b []byte) (Ext, error) {
	if len(b) < extFixed {
		return Ext{}, &InfoError{len(b), fmt.Sprintf("the extension ends early, want %d bytes", extFixed)}
	}
	if b[16] != extVersion {
		return Ext{}, &InfoError{16, fmt.Sprintf("extension version %d, this process knows %d", b[16], extVersion)}
	}
	var piece *Piece
	for at := extFixed; at < len(b); {
		if at+2 > len(b) || at+2+int(b[at+1]) > len(b) {
			return Ext{}, &InfoError{at, "an optional field ends behind the frame"}
		}
		next := at + 2 + int(b[at+1])
		switch {
		case b[at] == 0:
			return Ext{}, &InfoError{at, "tag 0 is no field"}
		case Tag(b[at]) == PieceField && piece == nil:
			var err error
			if piece, err = parsePiece(b[at+2 : next]); err != nil {
				return Ext{}, &InfoError{at, err.Error()}
			}
		}
		at = next
	}
	le := binary.LittleEndian
	return Ext{
		Flags:    Flags(b[17]),
		Attempt:  b[18],
		Priority: b[19],
		Instance: le.Uint64(b[20:]),
		Deadline: int64(le.Uint64(b[28:])),
		Client:   le.Uint32(b[36:]),
		Hops:     le.Uint32(b[40:]),
		Part:     le.Uint32(b[44:]),
		Slot:     le.Uint16(b[48:]),
		reserved: le.Uint16(b[50:]),
		fields:   b[extFixed:],
		piece:    piece,
	}, nil
}

func (e *Ext) appendTo(dst []byte) []byte {
	le := binary.LittleEndian
	dst = append(dst, magicInfo...)
	dst = append(dst, extVersion, byte(e.Flags), e.Attempt, e.Priority)
	dst = le.AppendUint64(dst, e.Instance)
	dst = le.AppendUint64(dst, uint64(e.Deadline))
	dst = le.AppendUint32(dst, e.Client)
	dst = le.AppendUint32(dst, e.Hops)
	dst = le.AppendUint32(dst, e.Part)
	dst = le.AppendUint16(dst, e.Slot)
	dst = le.AppendUint16(dst, e.reserved)
	piece := e.piece
	if piece != nil && e.Field(PieceField) != nil {
		piece = nil // it came with the fields, perhaps longer than is known here
	}
	if e.Way == nil && piece == nil {
		return append(dst, e.fields...)
	}
	begin := len(dst)
	for at := 0; at < len(e.fields); {
		next := at + 2 + int(e.fields[at+1])
		if tag := Tag(e.fields[at]); tag != Visits && tag != Trail {
			dst = append(dst, e.fields[at:next]...)
		}
		at = next
	}
	if piece != nil {
		dst = piece.appendTo(dst)
	}
	way := e.ReadWay()
	return way.appendTo(dst, MaxInfo-extFixed-(len(dst)-begin))
}

// SetDeadline stores t; the zero time is no deadline.
func (e *Ext) SetDeadline(t time.Time) {
	if t.IsZero() {
		e.Deadline = 0
		return
	}
	e.Deadline = t.UnixMicro()
}

// DeadlineTime returns the deadline and whether there is one.
func (e *Ext) DeadlineTime() (time.Time, bool) {
	if e.Deadline == 0 {
		return time.Time{}, false
	}
	return time.UnixMicro(e.Deadline), true
}

// Field returns the value of an optional field, or nil. The bytes belong to
// the frame: do not change them. Visits and Trail are better had from ReadWay.
func (e *Ext) Field(tag Tag) []byte {
	for at := 0; at < len(e.fields); {
		n := int(e.fields[at+1])
		if Tag(e.fields[at]) == tag {
			return e.fields[at+2 : at+2+n : at+2+n]
		}
		at += 2 + n
	}
	return nil
}

// SetField replaces an optional field; an empty value removes it. It reports
// whether the value fits: the whole frame must stay within MaxInfo bytes. The
// fields of copies of the extension stay as they were.
func (e *Ext) SetField(tag Tag, value []byte) bool {
	kept := make([]byte, 0, len(e.fields)+2+len(value))
	for at := 0; at < len(e.fields); {
		next := at + 2 + int(e.fields[at+1])
		if Tag(e.fields[at]) != tag {
			kept = append(kept, e.fields[at:next]...)
		}
		at = next
	}
	if len(value) > 0 {
		if tag == 0 || extFixed+len(kept)+2+len(value) > MaxInfo {
			return false
		}
		kept = append(append(kept, byte(tag), byte(len(value))), value...)
	}
	e.fields = kept
	return true
}
