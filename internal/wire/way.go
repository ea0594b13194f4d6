package wire

import (
	"encoding/binary"
	"slices"
)

// Bounds of what a Way remembers.
const (
	// MaxVisited is how many stages' visits a Way counts.
	MaxVisited = 8
	// MaxTrail is how many of the latest stages a Way holds.
	MaxTrail = 8
)

// Way is what a job's envelope says of the stages that it has entered: how
// often it visited some of them, and the latest ones. The zero Way is that of
// a job that has entered none. Ways are comparable: equal ones are ==.
type Way struct {
	visits [MaxVisited]visit // the latest visited last
	trail  [MaxTrail]uint32  // the latest last
	stages uint8             // used of visits
	steps  uint8             // used of trail
}

type visit struct{ stage, count uint32 }

// StageHash is how the envelope names a stage: the FNV-1a hash of its name, of
// 32 bits.
func StageHash(name string) uint32 {
	h := uint32(2166136261)
	for i := range len(name) {
		h = (h ^ uint32(name[i])) * 16777619
	}
	return h
}

// Enter adds a stage to the trail and, if counted, one to its visits, of which
// it returns the new number. There is room for MaxVisited stages: one more
// takes the place of the one visited least, of several the one whose last visit
// is longest ago, which is counted anew should it come again. So a number may
// be too low, where a cycle has more than MaxVisited counted stages, and is
// never too high.
func (w *Way) Enter(stage uint32, counted bool) uint32 {
	if w.steps == MaxTrail {
		copy(w.trail[:], w.trail[1:])
		w.steps--
	}
	w.trail[w.steps] = stage
	w.steps++
	if !counted {
		return 0
	}
	v := visit{stage: stage}
	if i := w.find(stage); i >= 0 {
		v = w.take(i)
	} else if w.stages == MaxVisited {
		w.take(w.least())
	}
	if v.count++; v.count == 0 {
		v.count-- // it stays at the most that can be written
	}
	w.visits[w.stages] = v
	w.stages++
	return v.count
}

// find returns the place of a stage among the visits, or -1.
func (w *Way) find(stage uint32) int {
	for i := range w.visits[:w.stages] {
		if w.visits[i].stage == stage {
			return i
		}
	}
	return -1
}

// least returns the place of the stage to forget.
func (w *Way) least() int {
	least := 0
	for i, v := range w.visits[:w.stages] {
		if v.count < w.visits[least].count {
			least = i
		}
	}
	return least
}

// take removes the visits of a place.
func (w *Way) take(i int) visit {
	v := w.visits[i]
	copy(w.visits[i:], w.visits[i+1:w.stages])
	w.stages--
	w.visits[w.stages] = visit{}
	return v
}

// Visits returns how often a stage was visited, as far as it is counted.
func (w *Way) Visits(stage uint32) uint32 {
	if i := w.find(stage); i >= 0 {
		return w.visits[i].count
	}
	return 0
}

// Trail returns the latest stages, the latest last.
func (w *Way) Trail() []uint32 { return slices.Clone(w.trail[:w.steps]) }

// ReadWay returns the way so far: Way, or what the optional fields Visits and
// Trail say. Of fields longer than a Way is the last entries count; bytes that
// make no whole entry are ignored.
func (e *Ext) ReadWay() Way {
	if e.Way != nil {
		return *e.Way
	}
	var w Way
	le := binary.LittleEndian
	for b := lastOf(e.Field(Visits), 8, MaxVisited); len(b) > 0; b = b[8:] {
		if stage := le.Uint32(b); w.find(stage) < 0 {
			w.visits[w.stages] = visit{stage, le.Uint32(b[4:])}
			w.stages++
		}
	}
	for b := lastOf(e.Field(Trail), 4, MaxTrail); len(b) > 0; b = b[4:] {
		w.trail[w.steps] = le.Uint32(b)
		w.steps++
	}
	return w
}

// lastOf cuts b to its last entries of a size, at most limit.
func lastOf(b []byte, size, limit int) []byte {
	b = b[:len(b)/size*size]
	return b[max(0, len(b)-limit*size):]
}

// appendTo appends the fields Visits and Trail to dst, as much of them as fits
// into room bytes: of the trail the latest stages, of the visits the latest
// visited.
func (w *Way) appendTo(dst []byte, room int) []byte {
	le := binary.LittleEndian
	if n := min(int(w.stages), (room-2)/8); n > 0 {
		dst = append(dst, byte(Visits), byte(8*n))
		for _, v := range w.visits[int(w.stages)-n : w.stages] {
			dst = le.AppendUint32(le.AppendUint32(dst, v.stage), v.count)
		}
		room -= 2 + 8*n
	}
	if n := min(int(w.steps), (room-2)/4); n > 0 {
		dst = append(dst, byte(Trail), byte(4*n))
		for _, stage := range w.trail[int(w.steps)-n : w.steps] {
			dst = le.AppendUint32(dst, stage)
		}
	}
	return dst
}
