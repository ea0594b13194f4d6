// Package wire holds the bytes that travel between butterfly's processes: the
// info frame in front of every job and answer with its extension, the beat of
// an idle slot, interrupts, and a stage's status.
//
// It knows no sockets. Every decoder is total: any input gives a value or an
// error, never a panic, and none allocates more than its input holds. The
// normative description, with offsets and golden frames, is docs/protocol.md.
package wire

import (
	"encoding/binary"
	"fmt"
)

const (
	// MinInfo is the shortest info frame: the key alone, as prime_server's
	// netstring clients send it.
	MinInfo = 8
	// PrimeInfo is the length of prime_server's info frame for HTTP.
	PrimeInfo = 12
	// MaxInfo is the longest info frame with an extension.
	MaxInfo = 255
)

// Info is the first frame of every job and answer: prime_server's twelve bytes
// and, behind them, butterfly's extension.
//
//	 0      4      8    10   12     16   17    18      19       20
//	+------+------+----+----+------+----+-----+-------+--------+ ...
//	| id   | time |bits| 0  | BFLY | 1  |flags|attempt|priority|
//	+------+------+----+----+------+----+-----+-------+--------+ ...
//
// An Info is a plain value; copies share the bytes of its extension fields,
// which are never changed in place.
type Info struct {
	ID   uint32 // the front's running number of the request
	Time uint32 // Unix seconds at which the front took the request

	Version   uint8 // HTTP/1.Version; 0 to 7, prime_server knows 0 and 1
	KeepAlive bool  // the client sent Connection: Keep-Alive
	Close     bool  // the client sent Connection: Close
	spare     bool  // bit 15, carried along
	Extended  bool  // there is an extension
	short     uint8 // how many of the bit field's and padding's four bytes are missing
	Code      uint16

	// Ext holds the extension; it means something only where Extended is set.
	Ext

	// tail is what an info frame without extension holds besides the known
	// bytes: handed on as it came.
	tail []byte
}

// Key names a job on the wire: unique among the jobs open at one time.
type Key struct {
	Instance uint64 // the front's random number of this start; 0 for a prime_server front
	ID       uint32
	Time     uint32
}

// Key returns the name of the job that the frame belongs to.
func (i *Info) Key() Key {
	k := Key{ID: i.ID, Time: i.Time}
	if i.Extended {
		k.Instance = i.Instance
	}
	return k
}

// String gives the key as instance-id-time in hexadecimal, the form that logs show.
func (k Key) String() string {
	return fmt.Sprintf("%016x-%08x-%08x", k.Instance, k.ID, k.Time)
}

// RequestID returns the id of the request that the frame belongs to, as error
// bodies and logs show it: the client's where it was taken over, else the key.
func (i *Info) RequestID() string {
	if id := i.Field(RequestID); id != nil {
		return string(id)
	}
	return i.Key().String()
}

// InfoError says why a frame is no info frame.
type InfoError struct {
	Offset int    // where in the frame
	Reason string // what is wrong there
}

func (e *InfoError) Error() string {
	return fmt.Sprintf("wire: info frame, byte %d: %s", e.Offset, e.Reason)
}

// bit field of bytes 8 and 9
const (
	bitsVersion   = 0x0007
	bitKeepAlive  = 0x0008
	bitClose      = 0x0010
	codeShift     = 5
	bitsCode      = 0x03ff
	bitSpare      = 0x8000
	offsetBits    = 8
	offsetPadding = 10
)

// ParseInfo decodes an info frame. The value does not keep b, but for the
// bytes of unknown length behind byte 12, of which it holds a slice: b must
// not change while the value is in use.
//
// Bytes behind byte 12 that do not start with the extension's magic are no
// error: prime_server hands such frames on whole, and so does AppendTo.
func ParseInfo(b []byte) (Info, error) {
	if len(b) < MinInfo {
		return Info{}, &InfoError{len(b), fmt.Sprintf("%d bytes are too few, want at least %d", len(b), MinInfo)}
	}
	i := Info{
		ID:   binary.LittleEndian.Uint32(b[0:]),
		Time: binary.LittleEndian.Uint32(b[4:]),
	}
	if len(b) < PrimeInfo {
		i.short = uint8(PrimeInfo - len(b))
		i.tail = b[MinInfo:]
		return i, nil
	}
	bits := binary.LittleEndian.Uint16(b[offsetBits:])
	i.Version = uint8(bits & bitsVersion)
	i.KeepAlive = bits&bitKeepAlive != 0
	i.Close = bits&bitClose != 0
	i.Code = bits >> codeShift & bitsCode
	i.spare = bits&bitSpare != 0
	if len(b) == PrimeInfo {
		return i, nil
	}
	if !hasMagic(b[PrimeInfo:]) {
		i.tail = b[PrimeInfo:]
		return i, nil
	}
	if len(b) > MaxInfo {
		return Info{}, &InfoError{MaxInfo, fmt.Sprintf("%d bytes are too many with an extension, at most %d", len(b), MaxInfo)}
	}
	ext, err := parseExt(b)
	if err != nil {
		return Info{}, err
	}
	i.Ext, i.Extended = ext, true
	return i, nil
}

// AppendTo appends the frame's bytes to dst.
func (i *Info) AppendTo(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, i.ID)
	dst = binary.LittleEndian.AppendUint32(dst, i.Time)
	if i.short > 0 && !i.Extended {
		return append(dst, i.tail...)
	}
	dst = binary.LittleEndian.AppendUint16(dst, i.bits())
	dst = append(dst, 0, 0)
	if !i.Extended {
		return append(dst, i.tail...)
	}
	return i.Ext.appendTo(dst)
}

func (i *Info) bits() uint16 {
	bits := uint16(i.Version)&bitsVersion | i.Code&bitsCode<<codeShift
	if i.KeepAlive {
		bits |= bitKeepAlive
	}
	if i.Close {
		bits |= bitClose
	}
	if i.spare {
		bits |= bitSpare
	}
	return bits
}

// Extend gives the frame an extension if it has none and there is room for
// one: a frame with foreign bytes behind byte 12 stays as it is. It reports
// whether the frame has an extension afterwards.
func (i *Info) Extend() bool {
	if i.Extended {
		return true
	}
	if i.short == 0 && len(i.tail) > 0 {
		return false
	}
	i.short, i.tail = 0, nil
	i.Ext, i.Extended = Ext{}, true
	return true
}

// Enclose gives the frame an extension even if foreign bytes stand in its place:
// they move into the field Foreign, from which Restore takes them back. It
// reports whether they fit; if not the frame stays as it is.
func (i *Info) Enclose() bool {
	foreign := i.tail
	switch {
	case i.Extend():
		return true
	case len(foreign) > MaxForeign:
		return false
	}
	i.tail = nil
	i.Ext, i.Extended = Ext{}, true
	return i.SetField(Foreign, foreign)
}

// Enclosed reports whether the frame's extension stands in the place of foreign
// bytes.
func (i *Info) Enclosed() bool { return i.Extended && i.Field(Foreign) != nil }

// Restore undoes Enclose; other frames stay as they are.
func (i *Info) Restore() {
	if i.Enclosed() {
		i.tail = i.Field(Foreign)
		i.Ext, i.Extended = Ext{}, false
	}
}
