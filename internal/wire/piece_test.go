package wire_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// aPiece has a value of its own in every field.
func aPiece() *wire.Piece {
	return &wire.Piece{
		Index: 2, Total: 1000, Group: 1, Join: wire.StageHash("sum"), Width: 16, Timeout: 250,
		Policy: wire.BestEffort, Failed: true, Opening: true,
	}
}

func TestPiecesAreWrittenAndRead(t *testing.T) {
	i := wire.Info{ID: 7}
	i.Extend()
	require.Nil(t, i.Piece())
	require.True(t, i.SetPiece(aPiece()))
	require.True(t, i.SetField(wire.RequestID, []byte("id")))
	copied := i
	frame := i.AppendTo(nil)
	read, err := wire.ParseInfo(frame)
	require.NoError(t, err)
	assert.Equal(t, aPiece(), read.Piece())
	assert.Equal(t, frame, read.AppendTo(nil))
	assert.Equal(t, "id", string(read.Field(wire.RequestID)))

	require.True(t, read.SetPiece(nil))
	again, err := wire.ParseInfo(read.AppendTo(nil))
	require.NoError(t, err)
	assert.Nil(t, again.Piece())
	assert.Equal(t, frame, copied.AppendTo(nil), "copies stay as they were")

	other := aPiece()
	other.Index = 3
	require.True(t, copied.SetPiece(other))
	again, err = wire.ParseInfo(copied.AppendTo(nil))
	require.NoError(t, err)
	assert.Equal(t, other, again.Piece())
}

// Bytes that a later version may put behind the piece are handed on.
func TestLongerPiecesAreHandedOn(t *testing.T) {
	i := wire.Info{ID: 7}
	i.Extend()
	i.SetPiece(aPiece())
	frame := append(i.AppendTo(nil), "more"...)
	frame[53] += 4 // its length
	read, err := wire.ParseInfo(frame)
	require.NoError(t, err)
	assert.Equal(t, aPiece(), read.Piece())
	var w wire.Way
	read.Way = &w
	assert.Equal(t, frame, read.AppendTo(nil))
}

// Where a frame is full the trail makes way for the piece, and where the way
// was read with the frame, too.
func TestAPieceHasItsPlaceInAFullFrame(t *testing.T) {
	i := wire.Info{ID: 7}
	i.Extend()
	full := fullInfo(i)
	visits := full.Field(wire.Visits)
	require.True(t, full.SetPiece(aPiece()))
	frame := full.AppendTo(nil)
	assert.LessOrEqual(t, len(frame), wire.MaxInfo)
	read, err := wire.ParseInfo(frame)
	require.NoError(t, err)
	assert.Equal(t, aPiece(), read.Piece())
	assert.Equal(t, full.Field(wire.RequestID), read.Field(wire.RequestID))
	assert.Len(t, read.Field(wire.Visits), 8, "of the stage 0, again and again")
	assert.NotEqual(t, visits, read.Field(wire.Visits))

	i.SetField(99, bytes.Repeat([]byte("x"), 171))
	assert.True(t, i.SetPiece(aPiece()))
	i.SetPiece(nil)
	i.SetField(99, bytes.Repeat([]byte("x"), 172))
	assert.False(t, i.SetPiece(aPiece()))
}

func TestBadPiecesAreRefused(t *testing.T) {
	for want, spoil := range map[string]func(*wire.Piece){
		"scattered into 0 parts":     func(p *wire.Piece) { p.Total = 0 },
		"scattered into 65537 parts": func(p *wire.Piece) { p.Total = wire.MaxParts + 1 },
		"part 1000 of 1000":          func(p *wire.Piece) { p.Index = 1000 },
		"joined by policy 3":         func(p *wire.Piece) { p.Policy = 3 },
	} {
		p := aPiece()
		spoil(p)
		assert.ErrorContains(t, p.Check(), want)
		i := wire.Info{ID: 7}
		i.Extend()
		i.SetPiece(p)
		_, err := wire.ParseInfo(i.AppendTo(nil))
		var bad *wire.InfoError
		require.ErrorAs(t, err, &bad)
		assert.Equal(t, 52, bad.Offset)
		assert.ErrorContains(t, err, want)
	}
	i := wire.Info{ID: 7}
	i.Extend()
	i.SetField(wire.PieceField, make([]byte, 27))
	_, err := wire.ParseInfo(i.AppendTo(nil))
	assert.ErrorContains(t, err, "28 bytes or more")
	assert.Equal(t, "all, any, best effort", wire.All.String()+", "+wire.Any.String()+", "+wire.BestEffort.String())
}

// joined is a job that was joined of parts of every kind.
func joined() wire.Joined {
	return wire.Joined{
		{Index: 0, Payload: wire.Frames{[]byte("ab"), {}, []byte("c")}},
		{Index: 1, State: wire.PartFailed, Code: 422, Payload: wire.Frames{[]byte("no number")}},
		{Index: 2, State: wire.PartMissing},
		{Index: 70000, Payload: wire.Frames{}},
	}
}

func TestJoinedJobsAreWrittenAndRead(t *testing.T) {
	frames := joined().Frames()
	require.Len(t, frames, 2)
	assert.EqualValues(t, len(frames[0])+len(frames[1]), wire.JoinedSize(4, 4, 12))
	assert.Equal(t, len(frames[0])+len(frames[1]), joined().Size())
	read, err := wire.ParseJoined(frames)
	require.NoError(t, err)
	assert.Equal(t, joined(), read)
	none, err := wire.ParseJoined(wire.Joined{}.Frames())
	require.NoError(t, err)
	assert.Empty(t, none)
}

func TestBadJoinedJobsAreRefused(t *testing.T) {
	f := joined().Frames()
	for name, frames := range map[string][][]byte{
		"nothing":          {},
		"one frame":        {f[0]},
		"three frames":     {f[0], f[1], nil},
		"a short head":     {f[0][:11], f[1]},
		"another magic":    {with(f[0], 0, 'X'), f[1]},
		"another version":  {with(f[0], 4, 2), f[1]},
		"too many parts":   {with(f[0], 8, 5), f[1]},
		"too few parts":    {with(f[0], 8, 3), f[1]},
		"absurdly many":    {with(f[0], 11, 0xff), f[1]},
		"an unknown state": {with(f[0], 16, 3), f[1]},
		"absurd frames":    {with(f[0], 23, 0xff), f[1]},
		"a frame too long": {with(f[0], 24, 200), f[1]},
		"bytes left":       {f[0], append(bytes.Clone(f[1]), 1)},
		"table cut":        {f[0][:len(f[0])-1], f[1]},
	} {
		_, err := wire.ParseJoined(frames)
		assert.ErrorContains(t, err, "wire: ", name)
	}
}

func FuzzParseJoined(f *testing.F) {
	for _, j := range []wire.Joined{joined(), {}} {
		frames := j.Frames()
		f.Add(frames[0], frames[1])
	}
	f.Fuzz(func(t *testing.T, table, all []byte) {
		j, err := wire.ParseJoined([][]byte{table, all})
		if err != nil {
			return
		}
		again, err := wire.ParseJoined(j.Frames())
		if err != nil {
			t.Fatalf("written and not read: %v", err)
		}
		if len(again) != len(j) {
			t.Fatal("parts got lost")
		}
	})
}
