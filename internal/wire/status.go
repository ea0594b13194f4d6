package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// Status is what a proxy tells a butterfly front about its stage: one frame,
// on the connection on which the front sends its jobs.
//
//	0 magic "BFLS"  4 version=1  5 flags (bit 0: prime_server workers, bit 1: draining, bit 2: closing, bit 3: full)  6 reserved u16
//	8 workers u32   12 slots u32   16 idle u32   20 queued u32   24 rate u32   28 parts u32
//	32 stuck workers u32           36 their instances, u64 each, n of them
//	36+8n wait u32, ms
type Status struct {
	Prime    bool   // some worker is prime_server's: its methods and text only
	Draining bool   // the proxy is about to end: fronts keep their jobs
	Closing  bool   // it takes no more: everybody keeps their jobs, and ends the connection
	Full     bool   // jobs of fronts would be refused
	Workers  uint32 // connections of workers
	Slots    uint32 // slots that have said that they are idle at least once
	Idle     uint32
	Queued   uint32
	Rate     uint32 // jobs done in the last second
	Parts    uint32 // parts of scattered jobs that wait here for others
	// Stuck are the instances, at most MaxStuck, of workers with a slot that has
	// not come back from a job within the stage's timeout.
	Stuck []uint64
	// Wait is how long it takes until all that is queued has got slots, as far
	// as was measured, in whole milliseconds; 0: not known.
	Wait time.Duration
}

// MaxStuck bounds the stuck workers that a status names.
const MaxStuck = 64

const (
	magicStatus   = "BFLS"
	statusVersion = 1
	statusSize    = 28 // without parts, as earlier versions wrote it
	statusStuck   = 36 // where the instances of stuck workers begin
	statusPrime   = 1
	statusDrains  = 2
	statusCloses  = 4
	statusFull    = 8
)

// ParseStatus decodes a status frame.
func ParseStatus(b []byte) (Status, error) {
	switch {
	case len(b) < statusSize:
		return Status{}, fmt.Errorf("wire: status frame: %d bytes are too few, want %d", len(b), statusSize)
	case string(b[:4]) != magicStatus:
		return Status{}, fmt.Errorf("wire: status frame: it does not start with %s", magicStatus)
	case b[4] != statusVersion:
		return Status{}, fmt.Errorf("wire: status frame: version %d, this process knows %d", b[4], statusVersion)
	}
	le := binary.LittleEndian
	status := Status{
		Prime:    b[5]&statusPrime != 0,
		Draining: b[5]&statusDrains != 0,
		Closing:  b[5]&statusCloses != 0,
		Full:     b[5]&statusFull != 0,
		Workers:  le.Uint32(b[8:]),
		Slots:    le.Uint32(b[12:]),
		Idle:     le.Uint32(b[16:]),
		Queued:   le.Uint32(b[20:]),
		Rate:     le.Uint32(b[24:]),
	}
	if len(b) >= statusSize+4 {
		status.Parts = le.Uint32(b[statusSize:])
	}
	if len(b) < statusStuck {
		return status, nil
	}
	n := le.Uint32(b[statusStuck-4:])
	if n > MaxStuck || len(b) < statusStuck+8*int(n) {
		return Status{}, fmt.Errorf("wire: status frame: it names %d stuck workers, and has %d bytes", n, len(b))
	}
	for at := range int(n) {
		status.Stuck = append(status.Stuck, le.Uint64(b[statusStuck+8*at:]))
	}
	if rest := b[statusStuck+8*int(n):]; len(rest) >= 4 {
		status.Wait = time.Duration(le.Uint32(rest)) * time.Millisecond
	}
	return status, nil
}

// AppendTo appends the frame's bytes to dst.
func (s *Status) AppendTo(dst []byte) []byte {
	var flags byte
	if s.Prime {
		flags |= statusPrime
	}
	if s.Draining {
		flags |= statusDrains
	}
	if s.Closing {
		flags |= statusCloses
	}
	if s.Full {
		flags |= statusFull
	}
	le := binary.LittleEndian
	dst = append(dst, magicStatus...)
	dst = append(dst, statusVersion, flags, 0, 0)
	for _, v := range [...]uint32{s.Workers, s.Slots, s.Idle, s.Queued, s.Rate, s.Parts} {
		dst = le.AppendUint32(dst, v)
	}
	stuck := s.Stuck[:min(len(s.Stuck), MaxStuck)]
	dst = le.AppendUint32(dst, uint32(len(stuck)))
	for _, instance := range stuck {
		dst = le.AppendUint64(dst, instance)
	}
	return le.AppendUint32(dst, uint32(min(max(s.Wait.Milliseconds(), 0), math.MaxUint32)))
}
