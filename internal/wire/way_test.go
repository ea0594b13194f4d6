package wire_test

import (
	"encoding/binary"
	"hash/fnv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/butterfly-zmq/butterfly/internal/wire"
)

func TestStageHashIsFNV1a(t *testing.T) {
	for _, name := range []string{"", "a", "parse", "compute", "grün"} {
		h := fnv.New32a()
		_, _ = h.Write([]byte(name))
		assert.Equal(t, h.Sum32(), wire.StageHash(name), name)
	}
}

func TestAWayCountsVisitsAndKeepsTheLatestStages(t *testing.T) {
	var w wire.Way
	assert.Zero(t, w.Enter(1, false), "not counted")
	for n := range uint32(20) {
		assert.Equal(t, n+1, w.Enter(2, true))
	}
	assert.EqualValues(t, 1, w.Enter(3, true))
	assert.EqualValues(t, 20, w.Visits(2))
	assert.Zero(t, w.Visits(1))
	assert.Equal(t, []uint32{2, 2, 2, 2, 2, 2, 2, 3}, w.Trail())
}

// A ninth stage takes the place of the one visited least, longest ago.
func TestAWayForgetsTheStageVisitedLeast(t *testing.T) {
	var w wire.Way
	for stage := range uint32(8) {
		w.Enter(stage, true)
	}
	w.Enter(0, true)
	w.Enter(1, true)
	assert.EqualValues(t, 1, w.Enter(8, true))
	assert.Zero(t, w.Visits(2), "forgotten")
	assert.EqualValues(t, 2, w.Visits(0))
	assert.EqualValues(t, 1, w.Visits(3))
	assert.EqualValues(t, 1, w.Enter(2, true), "counted anew")
	assert.Zero(t, w.Visits(3))
}

// Whatever way a job goes, what is written is what is read, no count is too
// high, and with up to eight stages none is too low.
func TestWaysAreWrittenAndRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stages := rapid.Uint32Range(1, 12).Draw(t, "stages")
		visited := map[uint32]uint32{}
		i := wire.Info{ID: 7}
		i.Extend()
		i.SetField(wire.RequestID, make([]byte, rapid.IntRange(0, wire.MaxRequestID).Draw(t, "id")))
		for _, stage := range rapid.SliceOf(rapid.Uint32Range(0, stages-1)).Draw(t, "way") {
			w := i.ReadWay()
			visited[stage]++
			n := w.Enter(stage, true)
			require.LessOrEqual(t, n, visited[stage])
			if stages <= wire.MaxVisited {
				require.Equal(t, visited[stage], n)
			}
			i.Way = &w
			read, err := wire.ParseInfo(i.AppendTo(nil))
			require.NoError(t, err)
			require.Nil(t, read.Way)
			require.Equal(t, w, read.ReadWay())
			require.Equal(t, i.Field(wire.RequestID), read.Field(wire.RequestID))
			i = read
		}
	})
}

// A frame stays within its bound: what a way cannot hold is left out, the
// oldest first.
func TestAWayIsCutToTheRoomThereIs(t *testing.T) {
	var w wire.Way
	for stage := range uint32(8) {
		w.Enter(stage, true)
	}
	for taken := range 204 { // bytes of another field
		i := wire.Info{ID: 7}
		i.Extend()
		if taken > 2 {
			require.True(t, i.SetField(99, make([]byte, taken-2)))
		}
		i.Way = &w
		frame := i.AppendTo(nil)
		require.LessOrEqual(t, len(frame), wire.MaxInfo)
		read, err := wire.ParseInfo(frame)
		require.NoError(t, err)
		got := read.ReadWay()
		visits, trail := len(read.Field(wire.Visits))/8, got.Trail()
		require.Equal(t, w.Trail()[8-len(trail):], trail, "the latest")
		for stage := range uint32(8) {
			require.Equal(t, int(stage) >= 8-visits, got.Visits(stage) == 1)
		}
		if taken <= 203-66-34 {
			require.Len(t, trail, 8)
		}
		if taken <= 203-66 {
			require.Equal(t, 8, visits)
		}
	}
}

// Fields of a length that no butterfly writes are read as far as they make
// sense.
func TestOddFieldsOfAWay(t *testing.T) {
	le := binary.LittleEndian
	var visits, trail []byte
	for n := range uint32(10) {
		visits = le.AppendUint32(le.AppendUint32(visits, n%9), n+1) // stage 0 twice
		trail = le.AppendUint32(trail, n)
	}
	i := wire.Info{}
	i.Extend()
	require.True(t, i.SetField(wire.Visits, append(visits, 1, 2, 3)))
	require.True(t, i.SetField(wire.Trail, append(trail, 9)))
	w := i.ReadWay()
	assert.Equal(t, []uint32{2, 3, 4, 5, 6, 7, 8, 9}, w.Trail())
	assert.Zero(t, w.Visits(1), "more than fit")
	assert.EqualValues(t, 9, w.Visits(8))
	assert.EqualValues(t, 10, w.Visits(0))
	i.SetField(wire.Visits, []byte{1, 2, 3})
	w = i.ReadWay()
	assert.Zero(t, w.Visits(0))
}

func TestVisitsDoNotOverflow(t *testing.T) {
	i := wire.Info{}
	i.Extend()
	i.SetField(wire.Visits, []byte{1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	w := i.ReadWay()
	assert.EqualValues(t, 0xffffffff, w.Enter(1, true))
}
