package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Policy says when the parts of a scattered job are joined.
type Policy uint8

// The policies.
const (
	// All: once every part has come. The first error answers the client.
	All Policy = iota
	// Any: once one part has come. Only if all fail the client is told.
	Any
	// BestEffort: once every part has come or failed, or at the timeout.
	BestEffort
	policies // how many there are
)

// String returns "all", "any" or "best effort".
func (p Policy) String() string {
	if p < policies {
		return [...]string{"all", "any", "best effort"}[p]
	}
	return fmt.Sprintf("policy %d", uint8(p))
}

// MaxParts is into how many parts a job may be scattered at most. It bounds what
// is allocated for a number that a frame announces.
const MaxParts = 1 << 16

// Piece is what the envelope of a part of a scattered job says of it: the
// optional field 7.
//
//	0 index u32   4 total u32   8 group u32   12 join u32   16 width u32
//	20 timeout u32 (ms)         24 policy u8  25 flags u8   26 meet u16
type Piece struct {
	Index   uint32
	Total   uint32 // how many parts there are, at least one
	Group   uint32 // which scattering of the request this was: the job's hops then
	Join    uint32 // hash of the stage where the parts are joined
	Width   uint32 // so many parts are at a stage at a time; 0: all
	Timeout uint32 // milliseconds that the join waits from when it hears of the group; 0: no bound of its own
	Policy  Policy
	Failed  bool   // it failed: the code is in the info frame, the first frame tells why
	Opening bool   // it is no part: the join shall know of the group
	Meet    uint16 // which of the join's proxies takes the parts, where there are several; 0: it is not said
}

const (
	pieceSize    = 28
	pieceFailed  = 1
	pieceOpening = 2
)

// errPiece is what is wrong with a field's length.
var errPiece = errors.New("a piece of a scattered job has 28 bytes or more")

// parsePiece decodes the field. Bytes behind the known ones are ignored.
func parsePiece(b []byte) (*Piece, error) {
	if len(b) < pieceSize {
		return nil, errPiece
	}
	le := binary.LittleEndian
	p := &Piece{
		Index:   le.Uint32(b),
		Total:   le.Uint32(b[4:]),
		Group:   le.Uint32(b[8:]),
		Join:    le.Uint32(b[12:]),
		Width:   le.Uint32(b[16:]),
		Timeout: le.Uint32(b[20:]),
		Policy:  Policy(b[24]),
		Failed:  b[25]&pieceFailed != 0,
		Opening: b[25]&pieceOpening != 0,
		Meet:    le.Uint16(b[26:]),
	}
	return p, p.Check()
}

// Check says what is wrong with the piece.
func (p *Piece) Check() error {
	switch {
	case p.Total == 0 || p.Total > MaxParts:
		return fmt.Errorf("a job is scattered into %d parts, want 1 to %d", p.Total, MaxParts)
	case p.Index >= p.Total:
		return fmt.Errorf("part %d of %d, the first is 0", p.Index, p.Total)
	case p.Policy >= policies:
		return fmt.Errorf("parts are joined by %s, which this process does not know", p.Policy)
	}
	return nil
}

// appendTo appends the field, its tag and length first.
func (p *Piece) appendTo(dst []byte) []byte {
	le := binary.LittleEndian
	dst = append(dst, byte(PieceField), pieceSize)
	for _, v := range [...]uint32{p.Index, p.Total, p.Group, p.Join, p.Width, p.Timeout} {
		dst = le.AppendUint32(dst, v)
	}
	var flags byte
	if p.Failed {
		flags |= pieceFailed
	}
	if p.Opening {
		flags |= pieceOpening
	}
	return le.AppendUint16(append(dst, byte(p.Policy), flags), p.Meet)
}

// Piece returns which part of a scattered job this is, or nil. It is shared with
// copies of the frame and must not be changed.
func (e *Ext) Piece() *Piece { return e.piece }

// SetPiece makes the frame that of a part; nil: of none. The piece is given
// away. It reports whether there is room for it, for which visits and trail make
// way.
func (e *Ext) SetPiece(p *Piece) bool {
	if e.Field(PieceField) != nil {
		e.SetField(PieceField, nil)
	}
	e.piece = p
	return p == nil || MaxInfo-extFixed-e.lasting() >= 2+pieceSize
}

// lasting is how many bytes the optional fields have that make way for none.
func (e *Ext) lasting() int {
	n := len(e.fields)
	for _, tag := range [...]Tag{Visits, Trail} {
		if b := e.Field(tag); b != nil {
			n -= 2 + len(b)
		}
	}
	return n
}
