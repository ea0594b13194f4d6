package transport

import (
	"encoding/binary"
	"fmt"
)

// A ZMTP frame:
//
//	flags 1 | length 1             flags: 1 more frames follow
//	flags 1 | length 8 big-endian         2 the length has 8 bytes
//	                                      4 a command; other bits are reserved
const (
	flagMore     = 1
	flagLong     = 2
	flagCommand  = 4
	flagReserved = ^byte(flagMore | flagLong | flagCommand)

	shortHeader = 2
	longHeader  = 9

	// maxCommand bounds a command frame. READY carries three short properties,
	// a PING's context has at most 16 bytes.
	maxCommand = 4096
)

// scanner judges frame headers before anybody allocates for them. It is pure:
// no connection, no clock, and no bytes are kept.
type scanner struct {
	limits  Limits // complete
	traffic bool   // the handshake is over: messages may come

	// The message under way.
	frames int
	bytes  int64
}

// frame is what a header announces.
type frame struct {
	header  int   // bytes of the header
	body    int64 // bytes behind it
	command bool
}

// scan judges the header at the start of b and counts its frame. When b is too
// short it returns a frame whose header says how many bytes are needed, and
// more = true. Errors are *LimitError and *ProtocolError; nothing can be
// scanned after one.
func (s *scanner) scan(b []byte) (f frame, more bool, err error) {
	if len(b) < shortHeader {
		return frame{header: shortHeader}, true, nil
	}
	flags := b[0]
	if flags&flagReserved != 0 {
		return frame{}, false, &ProtocolError{fmt.Sprintf("reserved bits in frame flags %#02x", flags)}
	}
	f = frame{header: shortHeader, command: flags&flagCommand != 0}
	length := uint64(b[1])
	if flags&flagLong != 0 {
		f.header = longHeader
		if len(b) < longHeader {
			return f, true, nil
		}
		length = binary.BigEndian.Uint64(b[1:])
	}
	if f.command {
		err = s.command(flags, length)
	} else {
		err = s.message(flags, length)
	}
	f.body = int64(length)
	return f, false, err
}

// command judges a command frame. libzmq may put one between the frames of a
// message, so it leaves the message under way alone.
func (s *scanner) command(flags byte, length uint64) error {
	switch {
	case flags&flagMore != 0:
		return &ProtocolError{"a command with the MORE flag"}
	case length == 0:
		return &ProtocolError{"an empty command"}
	case length > maxCommand:
		return &LimitError{"command bytes", length, maxCommand}
	}
	return nil
}

// message judges a message's frame and adds it to the message under way.
func (s *scanner) message(flags byte, length uint64) error {
	if !s.traffic {
		return &ProtocolError{"a message before the handshake was over"}
	}
	if length > uint64(s.limits.MaxFrame) {
		return &LimitError{"frame bytes", length, uint64(s.limits.MaxFrame)}
	}
	s.frames++
	if s.frames > s.limits.MaxFrames {
		return &LimitError{"message frames", uint64(s.frames), uint64(s.limits.MaxFrames)}
	}
	// Both are at most an int64, so the sum fits a uint64.
	total := uint64(s.bytes) + length
	if total > uint64(s.limits.MaxMessage) {
		return &LimitError{"message bytes", total, uint64(s.limits.MaxMessage)}
	}
	s.bytes = int64(total)
	if flags&flagMore == 0 {
		s.frames, s.bytes = 0, 0
	}
	return nil
}

// within reports whether a message has begun and not ended.
func (s *scanner) within() bool { return s.frames > 0 }
